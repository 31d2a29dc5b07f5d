//! How much can be allocated.
//!
//! A file system that is full says so. A memory cgroup, and a machine whose memory is used up, do not: they kill. So what
//! they have left is compared with what is needed before anything is allocated. Between the look and the allocation others
//! may take some; that race stays.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::filesystem;
use crate::error::OpenError;

/// The capacity of a cache whose maker does not say one, in bytes, where there is room for twice as much.
pub(crate) const DEFAULT_CAPACITY: u64 = 64 << 20;

/// A version 1 controller shows "no limit" as the largest number of whole pages; anything near it is none.
const NO_LIMIT: u64 = 1 << 62;

/// What a memory cgroup has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Headroom {
    /// The limit, in bytes.
    pub(crate) limit: u64,
    /// What is left of it, in bytes, if the kernel drops the pages of files that it can read again.
    pub(crate) available: u64,
    /// The directory of the cgroup that sets this limit: this process's own, or one above it.
    pub(crate) cgroup: PathBuf,
}

/// What the tightest memory cgroup has left, of this process's own and all above it. `None`: no limit is to be seen.
pub(crate) fn memory_cgroup_headroom() -> Option<Headroom> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    headroom_in(&own, &String::from_utf8_lossy(&mounts))
}

/// The capacity of a cache whose maker does not say one: 64 MiB, or half of what is free where `path` lies if that is less.
/// `None` stands for a memory file. It may be less than any cache can be, which is for the caller to notice.
pub(crate) fn default_capacity(path: Option<&Path>) -> u64 {
    let (on_disk, memory) = match path {
        None => (u64::MAX, true),
        Some(path) => free_at(path).unwrap_or((u64::MAX, false)),
    };
    let in_memory = if memory { memory_available().unwrap_or(u64::MAX) } else { u64::MAX };
    let in_cgroup = if memory { memory_cgroup_headroom().map_or(u64::MAX, |headroom| headroom.available) } else { u64::MAX };
    DEFAULT_CAPACITY.min(on_disk.min(in_memory).min(in_cgroup) / 2)
}

fn free_at(path: &Path) -> Option<(u64, bool)> {
    let directory = File::open(super::create::parent(path)).ok()?;
    let kind = filesystem::check(directory.as_fd(), path, true).ok()?;
    Some((filesystem::available_bytes(directory.as_fd()).ok()?, kind.memory))
}

/// Says whether `needed` bytes can be allocated in the file, with figures if not.
pub(crate) fn check_room(fd: BorrowedFd<'_>, path: &Path, memory: bool, needed: u64) -> Result<(), OpenError> {
    let free = filesystem::available_bytes(fd).map_err(|source| OpenError::io("ask for the free space", path, source))?;
    let available = if memory { free.min(memory_available().unwrap_or(u64::MAX)) } else { free };
    if needed > available {
        return Err(OpenError::NoSpace { path: path.to_owned(), needed, available });
    }
    match memory_cgroup_headroom() {
        Some(Headroom { limit, available, cgroup }) if memory && needed > available => {
            Err(OpenError::MemoryLimit { needed, available, limit, cgroup })
        }
        _ => Ok(()),
    }
}

/// The memory and swap that the whole machine has left.
fn memory_available() -> Option<u64> {
    parse_meminfo(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let bytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(bytes("MemAvailable")?.saturating_add(bytes("SwapFree").unwrap_or(0)))
}

/// The same from given contents of `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn headroom_in(own: &str, mounts: &str) -> Option<Headroom> {
    let mut tightest: Option<Headroom> = None;
    for (path, version) in own.lines().filter_map(memory_line) {
        let Some((root, mount_point)) = mounts.lines().find_map(|line| memory_mount(line, version)) else { continue };
        for directory in chain(&path, &root, &mount_point) {
            let Some(headroom) = headroom_of(&directory, version) else { continue };
            if tightest.as_ref().is_none_or(|least| headroom.available < least.available) {
                tightest = Some(headroom);
            }
        }
    }
    tightest
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A line of `/proc/self/cgroup` that can be about memory: `0::/path`, or `4:memory:/path`.
fn memory_line(line: &str) -> Option<(PathBuf, Version)> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    match (number, controllers) {
        ("0", "") => Some((path.into(), Version::Two)),
        _ if controllers.split(',').any(|controller| controller == "memory") => Some((path.into(), Version::One)),
        _ => None,
    }
}

/// Root and mount point of a line of mountinfo, if the memory cgroups of that version are mounted there.
fn memory_mount(line: &str, version: Version) -> Option<(PathBuf, PathBuf)> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1)?);
    let fits = match version {
        Version::Two => kind == "cgroup2",
        Version::One => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
    };
    let mut before = before.split(' ').skip(3);
    fits.then_some(())?;
    Some((unescape(before.next()?).into(), unescape(before.next()?).into()))
}

/// Mountinfo writes a space, a tab, a newline and a backslash as `\` and three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The directories of a cgroup and of all above it, up to where they are mounted. In a container the path may be one that
/// only the host sees; then it is the mount point that is this process's.
fn chain(path: &Path, root: &Path, mount_point: &Path) -> Vec<PathBuf> {
    let relative = path.strip_prefix(root).unwrap_or(Path::new(""));
    let climbs = relative.components().any(|part| part == std::path::Component::ParentDir);
    let own = if climbs { mount_point.to_owned() } else { mount_point.join(relative) };
    own.ancestors().take_while(|directory| directory.starts_with(mount_point)).map(Path::to_owned).collect()
}

fn headroom_of(directory: &Path, version: Version) -> Option<Headroom> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (limit, usage, prefix) = match version {
        // A cgroup over its `memory.high` is not killed, but slowed down until it hardly runs.
        Version::Two => {
            let limit = number("memory.max").into_iter().chain(number("memory.high")).min()?;
            (limit, number("memory.current")?, "")
        }
        Version::One => (number("memory.limit_in_bytes")?, number("memory.usage_in_bytes")?, "total_"),
    };
    if limit >= NO_LIMIT {
        return None;
    }
    let used = usage.saturating_sub(read("memory.stat").map_or(0, |stat| file_pages(&stat, prefix)));
    Some(Headroom { limit, available: limit.saturating_sub(used), cgroup: directory.to_owned() })
}

/// The pages of files that the kernel can drop. (The pages of a memory file are not among them.)
fn file_pages(stat: &str, prefix: &str) -> u64 {
    let counts = stat.lines().filter_map(|line| {
        let (name, count) = line.split_once(' ')?;
        let name = name.strip_prefix(prefix)?;
        matches!(name, "active_file" | "inactive_file").then(|| count.trim().parse::<u64>().ok())?
    });
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
#[path = "tests/space.rs"]
mod tests;
