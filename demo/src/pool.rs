//! One run: starts the workers, gathers what they report, and puts a new one in the place of one that dies.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use shmemo::Cache;
use tempfile::TempDir;

use crate::memo::{self, Mode};
use crate::memory;
use crate::model::Answer;
use crate::screen::{Progress, Screen, hit_rate};
use crate::table::grouped;
use crate::wire::Frame;
use crate::worker::Task;

/// With more deaths than this in one run something is wrong for good.
const MOST_DEATHS: usize = 8;
/// A worker that says nothing for so long is killed, and replaced like any that dies.
const SILENCE: Duration = Duration::from_secs(45);
/// How often the parent looks up when nothing is reported.
const LOOK_UP: Duration = Duration::from_millis(100);

/// What a run is to do.
pub struct Job<'a> {
    /// Where the workers keep answers.
    pub mode: Mode,
    /// How many workers there are.
    pub workers: usize,
    /// How many lines the text has.
    pub lines: usize,
    /// The file with the text.
    pub text: &'a Path,
    /// The size of the shared cache.
    pub cache_bytes: u64,
    /// Stop after this time, whatever is left: a calibration.
    pub limit: Option<Duration>,
}

/// What came of a run.
pub struct Outcome {
    /// Where the workers kept answers.
    pub mode: Mode,
    /// From the moment when all were ready to the last answer.
    pub time: Duration,
    /// The answer for each line, in the order of the text; empty if the run was stopped by its limit.
    pub answers: Vec<Answer>,
    /// How many lines were reported.
    pub reported: usize,
    /// How often the model ran.
    pub runs: u64,
    /// Memory of all workers and the shared cache in bytes, if the system tells.
    pub memory: Option<u64>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// Something that a thread reading from a worker passes on.
struct Event {
    post: usize,
    pid: u32,
    /// `None` when the worker will say no more.
    frame: Option<Frame>,
}

/// The place of a worker, which outlives it.
struct Post {
    task: Task,
    child: Child,
    total: usize,
    answers: Vec<Answer>,
    runs: u64,
    ready: bool,
    done: bool,
    heard: Instant,
}

/// A worker that was killed on purpose, and how far its post had come when the next one took over.
struct Killed {
    post: usize,
    pid: u32,
    lines: usize,
    runs: u64,
}

/// All that a run has under way.
struct Crew {
    program: PathBuf,
    posts: Vec<Post>,
    sender: Sender<Event>,
    events: Receiver<Event>,
    screen: Screen,
    started: bool,
    deaths: usize,
    killed: Option<Killed>,
}

/// Runs the job.
pub fn run(job: &Job<'_>, interrupted: &AtomicBool) -> Result<Outcome> {
    let place = if Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
    let directory: TempDir = tempfile::Builder::new()
        .prefix("shmemo-demo-")
        .tempdir_in(&place)
        .with_context(|| format!("cannot make a directory in {}", place.display()))?;
    let cache_path = directory.path().join("answers.shmemo");
    let mut crew = Crew::hire(job, &cache_path)?;
    while !crew.posts.iter().all(|post| post.ready) {
        crew.step(interrupted)?;
    }
    let begin = Instant::now();
    crew.start();
    while !crew.posts.iter().all(|post| post.done) && job.limit.is_none_or(|limit| begin.elapsed() < limit) {
        crew.step(interrupted)?;
        if job.mode == Mode::Shared && crew.killed.is_none() && crew.reported() * 2 >= job.lines {
            crew.kill_one();
        }
    }
    let time = begin.elapsed();
    crew.screen.finish(&crew.progress());
    let mut outcome = Outcome {
        mode: job.mode,
        time,
        answers: Vec::new(),
        reported: crew.reported(),
        runs: crew.posts.iter().map(|post| post.runs).sum(),
        memory: crew.memory(&cache_path),
        notes: crew.notes(),
    };
    if job.mode == Mode::Shared {
        describe_cache(&cache_path, &mut outcome)?;
    }
    if job.limit.is_none() {
        outcome.answers = crew.merge(job.lines)?;
        crew.dismiss();
    }
    Ok(outcome)
}

/// Adds the memory of the shared cache, all of it, used or not, and what is in it. Its count of model runs is exact: that
/// of the reports lacks what a killed worker had not reported.
fn describe_cache(path: &Path, outcome: &mut Outcome) -> Result<()> {
    let cache = Cache::builder().attach(path).context("cannot look into the shared cache")?;
    cache.verify().context("the shared cache is damaged")?;
    outcome.memory = outcome.memory.map(|bytes| bytes + cache.capacity());
    if let Some(runs) = memo::shared_runs(&cache) {
        outcome.runs = runs;
    }
    let stats = cache.stats();
    let evicted = stats.evicted_unused + stats.evicted_used + stats.evicted_by_full_bucket;
    outcome.notes.push(format!(
        "the shared cache of {} MiB holds {} entries in {:.1} MiB of its log; evicted: {}",
        cache.capacity() >> 20,
        grouped(stats.entries),
        stats.live_bytes as f64 / f64::from(1 << 20),
        grouped(evicted),
    ));
    Ok(())
}

impl Crew {
    fn hire(job: &Job<'_>, cache: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let (sender, events) = mpsc::channel();
        let screen = Screen::new(job.mode, job.workers, job.limit.is_some());
        let mut crew = Self { program, posts: Vec::new(), sender, events, screen, started: false, deaths: 0, killed: None };
        for index in 0..job.workers {
            let task = Task {
                mode: job.mode,
                index,
                workers: job.workers,
                lines: job.lines,
                skip: 0,
                text: job.text.into(),
                cache: cache.into(),
                cache_bytes: job.cache_bytes,
            };
            let total = task.own_lines().count();
            let child = crew.spawn(&task)?;
            let heard = Instant::now();
            crew.posts.push(Post { task, child, total, answers: Vec::new(), runs: 0, ready: false, done: false, heard });
        }
        Ok(crew)
    }

    /// Starts a worker, and a thread that passes on what it says.
    fn spawn(&self, task: &Task) -> Result<Child> {
        let mut command = task.command(&self.program);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start a worker process")?;
        let mut output = child.stdout.take().context("a worker without an output")?;
        let (sender, post, pid) = (self.sender.clone(), task.index, child.id());
        thread::spawn(move || {
            loop {
                // An output that makes no sense ends the worker like one that is closed.
                let frame = Frame::read(&mut output).unwrap_or_default();
                let last = frame.is_none();
                if sender.send(Event { post, pid, frame }).is_err() || last {
                    return;
                }
            }
        });
        Ok(child)
    }

    /// Waits for one event, at most until something is to be drawn.
    fn step(&mut self, interrupted: &AtomicBool) -> Result<()> {
        let due = self.screen.due_in();
        match self.events.recv_timeout(due.min(LOOK_UP)) {
            Ok(event) => self.take(event)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("all workers are gone"),
        }
        if crate::stopped(interrupted) {
            bail!("stopped by a signal");
        }
        if self.started && self.screen.due_in().is_zero() {
            self.screen.draw(&self.progress());
        }
        for post in &mut self.posts {
            if !post.done && (self.started || !post.ready) && post.heard.elapsed() > SILENCE {
                // Its end is reported as any other.
                let _ = post.child.kill();
                post.heard = Instant::now();
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<()> {
        let started = self.started;
        let post = &mut self.posts[event.post];
        if post.child.id() != event.pid {
            return Ok(());
        }
        post.heard = Instant::now();
        match event.frame {
            Some(Frame::Ready) => {
                post.ready = true;
                if started {
                    post.begin();
                }
            }
            Some(Frame::Answers { answers, runs }) => {
                post.answers.extend(answers);
                post.runs += u64::from(runs);
            }
            Some(Frame::Done) => post.done = post.answers.len() == post.total,
            None => self.replace(event.post)?,
        }
        Ok(())
    }

    /// The worker of a post is gone: a new one takes over the lines that it had not reported.
    fn replace(&mut self, index: usize) -> Result<()> {
        let post = &mut self.posts[index];
        let pid = post.child.id();
        // It may have closed its output and gone on.
        let _ = post.child.kill();
        let status = post.child.wait().context("cannot wait for a worker")?;
        if status.signal().is_none() {
            bail!("worker {} ended by itself, with {status}", index + 1);
        }
        self.deaths += 1;
        if self.deaths > MOST_DEATHS {
            bail!("{} workers died, the last one of: {status}", self.deaths);
        }
        post.task.skip = post.answers.len();
        let task = post.task.clone();
        let child = self.spawn(&task)?;
        let post = &mut self.posts[index];
        let left = post.total.saturating_sub(task.skip);
        let on_purpose = self.killed.as_ref().is_some_and(|killed| killed.pid == pid);
        self.screen.say(&format!(
            "worker {} (pid {pid}) {}: pid {} takes over the {} lines it had not reported",
            index + 1,
            if on_purpose { "was killed by this demo, without warning".into() } else { format!("died of {status}") },
            child.id(),
            grouped(left as u64),
        ));
        (post.child, post.ready, post.done, post.heard) = (child, false, false, Instant::now());
        if let Some(killed) = &mut self.killed
            && killed.pid == pid
        {
            (killed.lines, killed.runs) = (post.answers.len(), post.runs);
        }
        Ok(())
    }

    /// All workers begin.
    fn start(&mut self) {
        self.started = true;
        self.screen.start();
        for post in &mut self.posts {
            post.heard = Instant::now();
            post.begin();
        }
    }

    /// Kills the worker that has most left to do, as a crash or the kernel would: without a word.
    fn kill_one(&mut self) {
        let candidates = self.posts.iter_mut().filter(|post| post.ready && !post.done);
        if let Some(post) = candidates.max_by_key(|post| post.total - post.answers.len().min(post.total)) {
            let (lines, runs) = (post.answers.len(), post.runs);
            if post.child.kill().is_ok() {
                self.killed = Some(Killed { post: post.task.index, pid: post.child.id(), lines, runs });
            }
        }
    }

    fn reported(&self) -> usize {
        self.posts.iter().map(|post| post.answers.len()).sum()
    }

    fn progress(&self) -> Vec<Progress> {
        let of = |post: &Post| Progress { pid: post.child.id(), lines: post.answers.len(), total: post.total, runs: post.runs };
        self.posts.iter().map(of).collect()
    }

    fn memory(&self, cache: &Path) -> Option<u64> {
        self.posts.iter().map(|post| memory::proportional(post.child.id(), cache)).sum()
    }

    fn notes(&self) -> Vec<String> {
        let of = |killed: &Killed| {
            let post = &self.posts[killed.post];
            let (lines, runs) = (post.answers.len() - killed.lines, post.runs - killed.runs);
            format!(
                "worker {} was killed halfway; the one in its place found {:.1} % of its {} lines in the cache",
                killed.post + 1,
                hit_rate(lines, runs) * 100.0,
                grouped(lines as u64),
            )
        };
        self.killed.iter().map(of).collect()
    }

    /// The answers of all workers, in the order of the lines.
    fn merge(&mut self, lines: usize) -> Result<Vec<Answer>> {
        let workers = self.posts.len();
        (0..lines)
            .map(|line| self.posts[line % workers].answers.get(line / workers).copied())
            .collect::<Option<_>>()
            .context("an answer is missing")
    }

    /// Lets the workers end by themselves.
    fn dismiss(&mut self) {
        for post in &mut self.posts {
            drop(post.child.stdin.take());
        }
        for post in &mut self.posts {
            // All answers are here: how it ends makes no difference.
            let _ = post.child.wait();
        }
    }
}

impl Post {
    /// Tells the worker to begin. If it is dead, that is noticed when its output ends.
    fn begin(&mut self) {
        if let Some(input) = &mut self.child.stdin {
            let _ = input.write_all(b"g");
        }
    }
}

impl Drop for Crew {
    /// Leaves no process behind, whatever went wrong.
    fn drop(&mut self) {
        for post in &mut self.posts {
            let _ = post.child.kill();
            let _ = post.child.wait();
        }
    }
}
