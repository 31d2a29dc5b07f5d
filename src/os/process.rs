//! Who a process is, and whether it is still running.
//!
//! A pid alone is given out again; with the time at which the process started it is not. Both stay when the process goes on to
//! run another program (`exec`), which takes its memory and its locks away: the addresses that the kernel gave to the program
//! tell that. A pid means something only in its own PID namespace, which `/proc` may show or not: where it cannot be asked, the
//! answer is `None`, and never "dead".

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::clock;

/// A process, as others can look for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessId {
    /// Its number, in its own PID namespace.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the boot, plus one: the same from whatever time namespace it is read. Zero: unknown.
    pub(crate) start_time: u64,
    /// The inode of its PID namespace. Zero: unknown.
    pub(crate) pid_namespace: u64,
    /// The program that it runs: a hash of what the kernel told that when it began, random addresses among it. A forked child
    /// has the same. Zero: unknown.
    pub(crate) image: u64,
}

/// What `/proc/PID/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    state: u8,
    threads: u64,
    start_ticks: i64,
}

impl ProcessId {
    /// This process. Where `/proc` is missing, hidden or another namespace's, start time and namespace are zero. A forked
    /// child asks anew.
    pub(crate) fn current() -> Self {
        let pid = std::process::id();
        let unknown = Self { pid, start_time: 0, pid_namespace: 0, image: 0 };
        let (Some(pid_namespace), Ok(text)) = (own_namespace(), fs::read("/proc/self/stat")) else { return unknown };
        let Some(stat) = parse_stat(&text).filter(|stat| stat.pid == pid) else { return unknown };
        let start_time = unshifted(stat.start_ticks).unwrap_or(0);
        Self { pid, start_time, pid_namespace, image: image("self") }
    }

    /// Whether it runs now. `None`: that cannot be asked from here. A zombie does not run, nor does one that runs another
    /// program by now; a process that is stopped, or that dumps its core, does.
    pub(crate) fn is_running(self) -> Option<bool> {
        let pid = i32::try_from(self.pid).ok().filter(|&pid| pid > 0)?;
        if self.start_time == 0 || self.pid_namespace == 0 || own_namespace()? != self.pid_namespace {
            return None;
        }
        match fs::read(format!("/proc/{pid}/stat")) {
            Ok(text) => Some(parse_stat(&text).is_none_or(|stat| self.is_shown_running(&stat)) && !self.has_gone_on(pid)),
            // Absent, or hidden from this user (`hidepid`): a signal number of 0 tells which.
            Err(_) => Some(exists(pid)),
        }
    }

    fn is_shown_running(self, stat: &Stat) -> bool {
        if matches!(stat.state, b'X' | b'x') || (stat.state == b'Z' && stat.threads <= 1) {
            return false;
        }
        // Both were rounded to a tick after a shift that need not be a whole number of ticks. Where the shift is unknown, the
        // start says nothing, and a process with this number is taken for the one that is looked for.
        unshifted(stat.start_ticks).is_none_or(|start| start.abs_diff(self.start_time) <= 1)
    }

    /// Whether the process with this number runs another program than this one did. Where that is not to be seen, it does not.
    fn has_gone_on(self, pid: i32) -> bool {
        let now = image(&pid.to_string());
        self.image != 0 && now != 0 && now != self.image
    }
}

/// The FNV-1a hash of the auxiliary vector of a process, or zero: it cannot be read, or the process has no memory any more. It
/// holds the addresses of the program, of the kernel's own code in it and of 16 random bytes, which all differ from one program
/// to the next unless addresses are not random; then a process that runs another program looks as before.
fn image(process: &str) -> u64 {
    let vector = fs::read(format!("/proc/{process}/auxv")).unwrap_or_default();
    if vector.is_empty() {
        return 0;
    }
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    vector.iter().fold(0xcbf2_9ce4_8422_2325, hash).max(1)
}

/// The inode of this process's PID namespace, if `/proc` shows the processes of that namespace.
fn own_namespace() -> Option<u64> {
    let status = fs::read("/proc/self/status").ok()?;
    if !shows_own_namespace(&status, std::process::id()) {
        return None;
    }
    fs::metadata("/proc/self/ns/pid").ok().map(|metadata| metadata.ino())
}

/// A `/proc` that was mounted for an outer namespace shows this process under several numbers, the outermost first.
fn shows_own_namespace(status: &[u8], pid: u32) -> bool {
    let numbers = |name: &str| -> Option<Vec<u32>> {
        let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()))?;
        Some(line.split(u8::is_ascii_whitespace).filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok()).collect())
    };
    numbers("NStgid:").or_else(|| numbers("Tgid:")).is_some_and(|numbers| numbers == [pid])
}

/// Parses `/proc/PID/stat`. The second field is the name of the program in parentheses, which may hold anything, so that
/// fields are counted from the last `)`.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|&b| b == b'(')?;
    let close = text.iter().rposition(|&b| b == b')')?;
    let pid = std::str::from_utf8(&text[..open]).ok()?.trim().parse().ok()?;
    let fields: Vec<&str> = std::str::from_utf8(text.get(close + 1..)?).ok()?.split_whitespace().collect();
    // The first of them is field 3 of the manual page: state is 3, num_threads 20, starttime 22.
    Some(Stat {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        threads: fields.get(17)?.parse().ok()?,
        // The kernel prints an unsigned number; a time namespace may have shifted it below zero.
        start_ticks: fields.get(19)?.parse::<u64>().ok()? as i64,
    })
}

/// The start without the shift of this process's time namespace, plus one so that it is never zero.
fn unshifted(start_ticks: i64) -> Option<u64> {
    let offset_nanos = i128::from(clock::own_offset_nanos()?);
    // SAFETY: `sysconf` reads a constant of the system.
    let per_second = i128::from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1));
    let ticks = i128::from(start_ticks) - offset_nanos * per_second / 1_000_000_000;
    u64::try_from(ticks.max(0) + 1).ok()
}

/// Whether any process has this number here. Zombies have.
fn exists(pid: i32) -> bool {
    // SAFETY: the signal 0 is not sent; the call only says whether it could be.
    let result = unsafe { libc::kill(pid, 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::tests::{in_child, wait_until};

    fn stat(line: &str) -> Option<Stat> {
        parse_stat(line.as_bytes())
    }

    const REST: &str = "1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 3 0 4711 0 0";

    #[test]
    fn a_name_with_parentheses_and_spaces_is_passed_over() {
        let expected = Stat { pid: 7, state: b'S', threads: 3, start_ticks: 4711 };
        assert_eq!(stat(&format!("7 (a) S 1 (b) ) S {REST}")), Some(expected));
        assert_eq!(parse_stat(&[b"7 (\xff\n) S ".as_slice(), REST.as_bytes()].concat()).map(|s| s.pid), Some(7));
    }

    #[test]
    fn anything_else_is_no_stat() {
        for line in ["", "7", "7 (", ")7 (", "7 (a)", "7 (a) S 1 2", "x (a) S"] {
            assert_eq!(stat(line), None, "{line}");
        }
    }

    #[test]
    fn another_namespaces_proc_is_noticed() {
        assert!(shows_own_namespace(b"Name:\tx\nTgid:\t9\nNStgid:\t9\n", 9));
        assert!(!shows_own_namespace(b"Name:\tx\nTgid:\t900\nNStgid:\t900\t9\n", 9));
        assert!(!shows_own_namespace(b"Name:\tx\nTgid:\t900\n", 9));
        assert!(shows_own_namespace(b"Name:\tx\nTgid:\t9\n", 9));
    }

    #[test]
    fn this_process_runs() {
        let own = ProcessId::current();
        assert_eq!(own, ProcessId::current());
        assert_eq!(own.pid, std::process::id());
        assert!(own.start_time > 0 && own.pid_namespace > 0 && own.image > 0);
        assert_eq!(own.is_running(), Some(true));
        assert_eq!(ProcessId { start_time: own.start_time + 5, ..own }.is_running(), Some(false));
    }

    #[test]
    fn what_cannot_be_asked_is_not_dead() {
        let own = ProcessId::current();
        assert_eq!(ProcessId { pid_namespace: own.pid_namespace + 1, ..own }.is_running(), None);
        assert_eq!(ProcessId { pid_namespace: 0, ..own }.is_running(), None);
        assert_eq!(ProcessId { start_time: 0, ..own }.is_running(), None);
        assert_eq!(ProcessId { pid: 0, ..own }.is_running(), None);
        assert_eq!(ProcessId { pid: u32::MAX, ..own }.is_running(), None);
        assert_eq!(ProcessId { pid: i32::MAX as u32, ..own }.is_running(), Some(false));
    }

    fn id_of(child: i32) -> ProcessId {
        let text = fs::read(format!("/proc/{child}/stat")).unwrap();
        let start_time = unshifted(parse_stat(&text).unwrap().start_ticks).unwrap();
        // A child begins with the program of its parent.
        ProcessId { pid: child as u32, start_time, ..ProcessId::current() }
    }

    #[test]
    fn a_process_that_runs_another_program_is_not_the_one_that_was() {
        use std::os::unix::process::CommandExt;
        let child = in_child(|| {
            // SAFETY: stops this very process.
            unsafe { libc::raise(libc::SIGSTOP) };
            panic!("{}", std::process::Command::new("sleep").arg("60").exec());
        });
        let id = id_of(child.pid());
        assert_eq!(id.is_running(), Some(true));
        wait_until("the stop", || fs::read_to_string(format!("/proc/{}/stat", child.pid())).unwrap().contains(") T "));
        assert_eq!(id.is_running(), Some(true));
        child.signal(libc::SIGCONT);
        wait_until("the other program", || id.is_running() == Some(false));
        assert_eq!(ProcessId { image: 0, ..id }.is_running(), Some(true), "it is the same process");
        child.kill();
    }

    /// Starts are shown shifted in a time namespace, and compared without the shift.
    #[test]
    fn a_process_is_known_from_within_another_time_namespace() {
        let own = ProcessId::current();
        let outer = in_child(|| {
            // SAFETY: the call takes a plain number.
            if unsafe { libc::unshare(libc::CLONE_NEWTIME) } != 0 {
                println!("not in a time namespace: {}", io::Error::last_os_error());
            } else {
                fs::write("/proc/self/timens_offsets", "boottime 123456 789000000\n").unwrap();
            }
            let inner = in_child(|| {
                let earlier = ProcessId { start_time: own.start_time + 5, ..own };
                own.is_running() == Some(true) && earlier.is_running() == Some(false)
            });
            inner.success()
        });
        outer.expect_success();
    }

    #[test]
    fn a_child_runs_until_it_is_a_zombie() {
        let child = in_child(|| {
            loop {
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        });
        let id = id_of(child.pid());
        assert_eq!(id.is_running(), Some(true));
        child.signal(libc::SIGSTOP);
        assert_eq!(id.is_running(), Some(true));
        child.signal(libc::SIGKILL);
        wait_until("the zombie", || id.is_running() == Some(false));
        child.kill();
        assert_eq!(id.is_running(), Some(false));
    }
}
