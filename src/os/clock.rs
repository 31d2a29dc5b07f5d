//! One clock for all processes of a machine, and the number of its boot.
//!
//! The clock is `CLOCK_BOOTTIME`, which no step of the wall clock changes and which counts while the machine sleeps, less the
//! offset of this process's time namespace. `/proc/self/timens_offsets` gives the offset of the namespace that *children*
//! get, so it is believed of a process itself only where that is its own namespace too.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The inode of the machine's first time namespace (`PROC_TIME_INIT_INO`), whose offset is zero by definition.
const FIRST_TIME_NAMESPACE: u64 = 0xEFFF_FFFA;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MS: i64 = 1_000_000;

/// The clock of this process. A forked child makes its own, since it may be in another time namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset_nanos: i64,
    trusted: bool,
}

impl Clock {
    /// Reads the offset of this process's time namespace.
    pub(crate) fn new() -> Self {
        match own_offset_nanos() {
            Some(offset_nanos) => Self { offset_nanos, trusted: true },
            None => Self { offset_nanos: 0, trusted: false },
        }
    }

    /// The clock with an offset that [`Self::offset_nanos`] of this process gave.
    pub(crate) fn from_offset(offset_nanos: Option<i64>) -> Self {
        Self { offset_nanos: offset_nanos.unwrap_or(0), trusted: offset_nanos.is_some() }
    }

    /// The offset of this process's time namespace, if it is known.
    pub(crate) fn offset_nanos(&self) -> Option<i64> {
        self.trusted.then_some(self.offset_nanos)
    }

    /// Whether the offset is known. It is not between `unshare(CLONE_NEWTIME)` and the first fork, in a process that is in a
    /// time namespace of its own already, nor where `/proc` gives no answer: such a process must not judge or stamp an
    /// expiry, and may try again in a child.
    #[cfg(test)]
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Milliseconds since the machine started, rounded down: the same in every process, whatever its namespaces.
    pub(crate) fn boot_ms(&self) -> u64 {
        let now = nanos(libc::CLOCK_BOOTTIME);
        u64::try_from(now.saturating_sub(self.offset_nanos) / NANOS_PER_MS).unwrap_or(0)
    }
}

/// Milliseconds of the wall clock since 1970, or 0 before then.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The kernel's number for this boot, or zeros where it may not be read. (A container may have a number of its own.)
pub(crate) fn boot_id() -> io::Result<[u64; 2]> {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(text) => parse_boot_id(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/sys/kernel/random/boot_id does not hold a number")),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EACCES | libc::EPERM | libc::ENOTDIR)) => {
            Ok([0; 2])
        }
        Err(error) => Err(error),
    }
}

/// The offset of this process's own time namespace on `CLOCK_BOOTTIME`. `None`: it cannot be known.
pub(super) fn own_offset_nanos() -> Option<i64> {
    let own = match namespace(OWN) {
        Some(own) => own,
        None => return has_none().then_some(0),
    };
    match own {
        FIRST_TIME_NAMESPACE => Some(0),
        own => offset_nanos_of_children().filter(|_| namespace(OF_CHILDREN) == Some(own)),
    }
}

/// The same of the namespace that children of this process come to be in.
pub(crate) fn offset_nanos_of_children() -> Option<i64> {
    match namespace(OF_CHILDREN) {
        Some(FIRST_TIME_NAMESPACE) => Some(0),
        Some(_) => parse_offset(&fs::read_to_string("/proc/self/timens_offsets").ok()?),
        None => has_none().then_some(0),
    }
}

const OWN: &str = "/proc/self/ns/time";
const OF_CHILDREN: &str = "/proc/self/ns/time_for_children";

fn namespace(path: &str) -> Option<u64> {
    fs::metadata(path).map(|metadata| metadata.ino()).ok()
}

/// A kernel without time namespaces has a `/proc` without a file for them, and then no process has an offset.
fn has_none() -> bool {
    let is_absent = fs::metadata(OWN).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    is_absent && Path::new("/proc/self/stat").exists()
}

fn parse_offset(text: &str) -> Option<i64> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some("boottime"))?;
    let mut fields = line.split_whitespace().skip(1).map(str::parse::<i64>);
    let (seconds, nanos) = (fields.next()?.ok()?, fields.next()?.ok()?);
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)
}

fn parse_boot_id(text: &str) -> Option<[u64; 2]> {
    let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let half = |range| u64::from_str_radix(&digits[range], 16).ok();
    Some([half(0..16)?, half(16..32)?])
}

fn nanos(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a `timespec` that lives across the call. The call cannot fail for this clock (from 2.6.39
    // on); if it did, the time would stay 0.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec.saturating_mul(NANOS_PER_SECOND).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_clock_goes_forward_at_the_right_speed() {
        let clock = Clock::new();
        assert!(clock.is_trusted());
        let before = clock.boot_ms();
        std::thread::sleep(Duration::from_millis(30));
        let passed = clock.boot_ms() - before;
        assert!((30..5_000).contains(&passed), "{passed}");
        assert!(wall_ms() > 1_700_000_000_000);
    }

    #[test]
    fn offsets_are_parsed() {
        assert_eq!(parse_offset("monotonic  86400 0\nboottime  -7 500000000\n"), Some(-6_500_000_000));
        assert_eq!(parse_offset("monotonic 1 0\n"), None);
        assert_eq!(parse_offset("boottime 1\n"), None);
        assert_eq!(parse_offset("boottime 9223372036854775807 0\n"), None);
    }

    #[test]
    fn an_offset_is_taken_off_and_never_goes_below_zero() {
        let shifted = Clock { offset_nanos: -3_600 * NANOS_PER_SECOND, trusted: true };
        let plain = Clock { offset_nanos: 0, trusted: true };
        let difference = shifted.boot_ms() - plain.boot_ms();
        assert!((3_600_000 - 5_000..=3_600_000).contains(&difference) || difference >= 3_600_000, "{difference}");
        assert_eq!(Clock { offset_nanos: i64::MAX, trusted: true }.boot_ms(), 0);
    }

    #[test]
    fn boot_ids_are_parsed() {
        let id = parse_boot_id("01234567-89ab-cdef-FEDC-ba9876543210\n");
        assert_eq!(id, Some([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]));
        assert_eq!(parse_boot_id("01234567"), None);
        assert_eq!(parse_boot_id("é1234567-89ab-cdef-FEDC-ba987654321"), None);
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }
}
