//! A trace dealt out to several processes that share one cache.
//!
//! Request n goes to process n modulo their number, over a pipe. They go on at the same time, but only within a round of
//! a few dozen requests each: so the order stays nearly that of the trace, as it would with requests that arrive in time.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use shmemo::Cache;

use crate::real::{Plan, Player, Watch, capacity_bytes, value_len};
use crate::replay::Outcome;
use crate::trace::Trace;

/// Requests of a process in a round.
const ROUND: usize = 32;
/// The first argument of a process that is a worker.
pub const WORKER: &str = "--worker";

struct Worker {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Worker {
    fn start(program: &Path, cache: &Path, plan: &Plan) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg(WORKER).arg(cache).arg(plan.key_len.to_string()).arg(plan.max_value_len.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("a worker")?;
        let to = child.stdin.take().context("a pipe")?;
        let from = child.stdout.take().context("a pipe")?;
        Ok(Self { child, to, from })
    }

    fn send(&mut self, requests: &[[u32; 2]]) -> Result<()> {
        let mut bytes = (requests.len() as u32).to_le_bytes().to_vec();
        bytes.extend(requests.iter().flatten().flat_map(|number| number.to_le_bytes()));
        Ok(self.to.write_all(&bytes)?)
    }

    /// A bit for each request of the round: whether it was a hit.
    fn receive(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        self.from.read_exact(&mut bytes).context("a worker ended")?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn end(mut self) -> Result<()> {
        drop(self.to);
        ensure!(self.child.wait()?.success(), "a worker failed");
        Ok(())
    }
}

/// What a worker does: the body of the process that was started with [`WORKER`].
///
/// # Errors
/// As [`Player::request`], and if the pipe breaks.
pub fn work(cache: &Path, key_len: usize, max_value_len: u32) -> Result<()> {
    let mut player = Player::new(Cache::builder().attach(cache)?, key_len, max_value_len);
    let (mut from, mut to) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut count = [0; 4];
    while from.read_exact(&mut count).is_ok() {
        let mut bytes = vec![0; u32::from_le_bytes(count) as usize * 8];
        from.read_exact(&mut bytes)?;
        let mut hits = 0u32;
        for (at, request) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let number =
                |part: usize| u32::from_le_bytes([request[part], request[part + 1], request[part + 2], request[part + 3]]);
            hits |= u32::from(player.request(number(0), number(4))?) << at;
        }
        to.write_all(&hits.to_le_bytes())?;
        to.flush()?;
    }
    Ok(())
}

/// Replays a trace through one cache by several processes, which are copies of `program`.
///
/// # Errors
/// As replaying by one process, and if processes cannot be started.
pub fn replay(trace: &Trace, plan: &Plan, processes: usize, program: &Path) -> Result<Outcome> {
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let path = directory.path().join("simulated.shmemo");
    let cache = plan.make(Some(&path))?;
    let start = || Worker::start(program, &path, plan);
    let mut workers: Vec<Worker> = (0..processes).map(|_| start()).collect::<Result<_>>()?;
    let mut outcome = Outcome { requests: trace.ids.len() as u64, ..Outcome::default() };
    let mut watch = Watch::new(capacity_bytes(plan, &cache.stats()));
    for first in (0..trace.ids.len()).step_by(ROUND * processes) {
        let end = (first + ROUND * processes).min(trace.ids.len());
        let dealt = |worker: usize| (first + worker..end).step_by(processes);
        for (number, worker) in workers.iter_mut().enumerate() {
            let requests: Vec<_> = dealt(number).map(|at| [trace.ids[at], value_len(trace, plan, at)]).collect();
            worker.send(&requests)?;
        }
        let mut stored = 0;
        for (number, worker) in workers.iter_mut().enumerate() {
            let hits = worker.receive()?;
            for (bit, at) in dealt(number).enumerate() {
                let len = value_len(trace, plan, at);
                outcome.bytes += u64::from(len);
                if hits >> bit & 1 == 1 {
                    outcome.hits += 1;
                    outcome.hit_bytes += u64::from(len);
                } else {
                    stored += u64::from(plan.entry_bytes(len));
                }
            }
        }
        watch.after(&cache, stored);
    }
    for worker in workers {
        worker.end()?;
    }
    watch.finish(&cache, &mut outcome);
    Ok(outcome)
}
