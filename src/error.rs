//! What can go wrong, one variant for each kind, each of which says what was found, what is allowed and what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Stands for the path of a cache that has none.
pub(crate) const ANONYMOUS: &str = "(anonymous)";

/// What else can be done about another geometry.
const BY_ON_MISMATCH: &str = "or choose on_mismatch(UseExisting) for what is there or on_mismatch(Recreate) for a new file";

/// Why a cache could not be opened, created or attached to.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant's sentence says what its fields are")]
pub enum OpenError {
    /// The `option` of the builder was `given` a value that is not among those `allowed`.
    InvalidOption { option: &'static str, given: String, allowed: String },
    /// The capacity `given` is smaller than a cache with these options can be (`min`), in bytes.
    CapacityTooSmall { given: u64, min: u64 },
    /// The capacity `given` is larger than any cache can be (`max`), in bytes.
    CapacityTooLarge { given: u64, max: u64 },
    /// There is no file at `path` to attach to.
    NotFound { path: PathBuf },
    /// There is a file at `path`, where a new one was to be created.
    AlreadyExists { path: PathBuf },
    /// The file does not begin with the eight magic bytes of a cache, but with those `found`: fewer if it is shorter.
    NotAShmemoFile { path: PathBuf, found: Vec<u8> },
    /// The file has the version `found` of the format, and this build reads the one `expected`.
    VersionMismatch { path: PathBuf, found: u32, expected: u32 },
    /// The file has the layout fingerprint `found`, and this build the one `expected`.
    LayoutMismatch { path: PathBuf, found: u64, expected: u64 },
    /// The file's keys were placed by a hash function with the fingerprint `found`, and this build's has the one
    /// `expected`.
    HashMismatch { path: PathBuf, found: u64, expected: u64 },
    /// The header contradicts itself: `what` says how.
    CorruptHeader { path: PathBuf, what: &'static str },
    /// The file has `found` bytes, fewer than its header says (`expected`).
    Truncated { path: PathBuf, found: u64, expected: u64 },
    /// The file was created with the value `found` of an `option` that is now `asked` to be another.
    GeometryMismatch { path: PathBuf, option: &'static str, found: u64, asked: u64 },
    /// The kernel denies access to the file or directory.
    PermissionDenied { path: PathBuf, source: io::Error },
    /// The file belongs to the user `found`, and this process runs as the one `expected`.
    WrongOwner { path: PathBuf, found: u32, expected: u32 },
    /// The file's permission bits, `found`, let more users write than those asked for, `allowed`.
    WrongMode { path: PathBuf, found: u32, allowed: u32 },
    /// The path names something other than a regular file; `kind` is what it is (symbolic link, directory, FIFO,
    /// socket, device).
    NotARegularFile { path: PathBuf, kind: &'static str },
    /// The file system is not known to keep the promises that the cache rests on. `magic` is its number, as `statfs`
    /// gives it.
    UnsupportedFilesystem { path: PathBuf, magic: u64, name: &'static str },
    /// The kernel or the file system has no open-file-description locks.
    NoFileLocks { path: PathBuf, source: io::Error },
    /// The file system or the machine has fewer bytes `available` than are `needed`.
    NoSpace { path: PathBuf, needed: u64, available: u64 },
    /// The memory cgroup would kill the process: `available` bytes are left of its `limit`, and more are `needed`.
    MemoryLimit { needed: u64, available: u64, limit: u64, cgroup: PathBuf },
    /// A descriptor that was handed over does not belong to a sealed memory file; the `missing` seals are named.
    NotSealed { missing: String },
    /// Any other failure of a system call; `what` was being done follows "cannot".
    Io { what: &'static str, path: Option<PathBuf>, source: io::Error },
}

impl OpenError {
    /// An [`OpenError::Io`] for `path`, or [`OpenError::PermissionDenied`] where that is what the kernel says.
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => Self::PermissionDenied { path: path.to_owned(), source },
            _ => Self::Io { what, path: Some(path.to_owned()), source },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidOption { option, given, allowed } => {
                write!(f, "the option {option} is {given}, and must be {allowed}")
            }
            Self::CapacityTooSmall { given, min } => {
                write!(f, "a capacity of {given} bytes is too small: with these options it must be at least {min}")
            }
            Self::CapacityTooLarge { given, max } => {
                write!(f, "a capacity of {given} bytes is too large: ask for at most {max}")
            }
            Self::NotFound { path } => {
                write!(f, "{} does not exist: create the cache first, by open or create_new", path.display())
            }
            Self::AlreadyExists { path } => {
                write!(f, "{} exists already: attach to it, or remove it first", path.display())
            }
            Self::MemoryLimit { needed, available, limit, cgroup } => write!(
                f,
                "{needed} bytes are needed, and {available} are left of the {limit} bytes of memory that the cgroup {} may use \
                 (the kernel would kill the process): ask for a smaller capacity, raise the limit, or use a file on a disk",
                cgroup.display()
            ),
            Self::NotSealed { missing } => write!(
                f,
                "the descriptor does not belong to a sealed memory file (missing: {missing}): \
                 hand over one that an anonymous cache gave out"
            ),
            Self::Io { what, path: Some(path), source } => {
                write!(f, "cannot {what} ({}): {source}: {}", path.display(), advice(source))
            }
            Self::Io { what, path: None, source } => write!(f, "cannot {what}: {source}: {}", advice(source)),
            Self::NotAShmemoFile { .. }
            | Self::VersionMismatch { .. }
            | Self::LayoutMismatch { .. }
            | Self::HashMismatch { .. }
            | Self::CorruptHeader { .. }
            | Self::Truncated { .. }
            | Self::GeometryMismatch { .. } => self.fmt_contents(f),
            _ => self.fmt_access(f),
        }
    }
}

/// What else can be done about a file that cannot be used.
const REPLACE: &str = "remove the file, or let on_mismatch(Recreate) replace it";

/// What to do about a file that cannot be used, or about a descriptor, for which that would be no advice.
fn another(path: &Path, advice: &'static str) -> &'static str {
    if path == Path::new(ANONYMOUS) { "hand over the descriptor of an anonymous cache that this build made" } else { advice }
}

/// What to do about a failure of the system.
fn advice(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EROFS) => {
            "the file system is read-only, and a cache is written to even by its readers: give a path on one that can be written"
        }
        Some(libc::EMFILE | libc::ENFILE) => "raise the limit of open files (ulimit -n), or close some",
        Some(libc::ENOMEM) => "ask for a smaller capacity, or raise the limit of memory or addresses (ulimit -v)",
        Some(libc::ENOENT | libc::ENOTDIR) => "make the directory first, or give another path",
        Some(libc::ENAMETOOLONG) => "give a shorter path; its last name may have 244 bytes on most file systems",
        _ => "mend what the system says, or give another path",
    }
}

impl OpenError {
    /// Displays the variants about what the file contains.
    fn fmt_contents(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAShmemoFile { path, found } if found.is_empty() => {
                write!(
                    f,
                    "{} is not a cache but an empty file: {}",
                    path.display(),
                    another(path, "give another path, or remove it")
                )
            }
            Self::NotAShmemoFile { path, found } => write!(
                f,
                "{} is not a cache: it begins with \"{}\" instead of the magic bytes; {}",
                path.display(),
                found.escape_ascii(),
                another(path, "give another path, or remove it")
            ),
            Self::VersionMismatch { path, found, expected } => write!(
                f,
                "{} has format version {found}, and this build reads version {expected}: {}",
                path.display(),
                another(path, REPLACE)
            ),
            Self::LayoutMismatch { path, found, expected } => write!(
                f,
                "{} has layout {found:016x}, and this build expects {expected:016x}: {}",
                path.display(),
                another(path, REPLACE)
            ),
            Self::HashMismatch { path, found, expected } => write!(
                f,
                "{} places keys by hash {found:016x}, and this build by {expected:016x}: {}",
                path.display(),
                another(path, REPLACE)
            ),
            Self::CorruptHeader { path, what } => {
                write!(
                    f,
                    "the header of {} is damaged ({what}), and must be as it was written: {}",
                    path.display(),
                    another(path, REPLACE)
                )
            }
            Self::Truncated { path, found, expected } => write!(
                f,
                "{} has {found} bytes, and its header says {expected}, so it was cut short or written over: {}",
                path.display(),
                another(path, REPLACE)
            ),
            // Nobody can ask for no bound by a number.
            Self::GeometryMismatch { path, option: option @ "max_entries", found: 0, asked } => write!(
                f,
                "{} was created without {option}, and {asked} is asked for: leave {option} out, {BY_ON_MISMATCH}",
                path.display()
            ),
            Self::GeometryMismatch { path, option, found, asked } => write!(
                f,
                "{} was created with {option} = {found}, and {asked} is asked for: leave {option} out \
                 or ask for {found}, {BY_ON_MISMATCH}",
                path.display()
            ),
            _ => f.write_str("cannot open the cache"),
        }
    }

    /// Displays the variants about access to the file and about where it lies.
    fn fmt_access(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PermissionDenied { path, source } => write!(
                f,
                "access to {} is denied ({source}): {}",
                path.display(),
                another(
                    path,
                    "run as its owner, or let others in, by the mode that the cache is created with or by that of its directory"
                )
            ),
            Self::WrongOwner { path, found, expected } => write!(
                f,
                "{} belongs to user {found}, and this process runs as user {expected}: use a path of your own, \
                 or ask for a mode that shares the cache with other users",
                path.display()
            ),
            Self::WrongMode { path, found, allowed } => write!(
                f,
                "{} has mode {found:04o}, which lets more users write than the mode {allowed:04o} asked for: \
                 change the file's mode, or ask for {found:04o} if those users are to be trusted",
                path.display()
            ),
            Self::NotARegularFile { path, kind } => {
                let advice = another(path, "give another path");
                write!(f, "{} is a {kind}, and only a regular file can be a cache: {advice}", path.display())
            }
            Self::UnsupportedFilesystem { path, magic, name } => write!(
                f,
                "{} is on a file system ({name}, {magic:#x}) that is not known to work: \
                 use /dev/shm, another tmpfs, ext4, xfs, btrfs or f2fs, or try it at your own risk by \
                 allow_unknown_filesystem(true) if it can allocate space for files",
                path.display()
            ),
            Self::NoFileLocks { path, source } => write!(
                f,
                "{} cannot have open-file-description locks ({source}): use Linux 3.15 or later and a local file system, \
                 and let a sandbox (seccomp) allow F_OFD_SETLK and F_OFD_GETLK",
                path.display()
            ),
            Self::NoSpace { path, needed, available } => write!(
                f,
                "{needed} bytes are needed for {}, and {available} are free: ask for a smaller capacity, or make room",
                path.display()
            ),
            _ => f.write_str("cannot open the cache"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::PermissionDenied { source, .. } | Self::NoFileLocks { source, .. } | Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why a value was not stored.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant's sentence says what its fields are")]
pub enum SetError {
    /// The key's `len` is more than this cache takes (`max`), in bytes.
    KeyTooLarge { len: usize, max: usize },
    /// The value's `len` is more than this cache takes (`max`), in bytes.
    ValueTooLarge { len: usize, max: usize },
    /// A time to live of zero: the entry would be gone at once.
    ZeroTtl,
    /// This process has no line in the registry, so that it may read and not write.
    NotAttached(NotAttached),
    /// There is no room at this moment, or others changed the key at each of thousands of attempts, as the closure of an
    /// [`update`](crate::Cache::update) does that stores under the same key; a conditional operation changes nothing rather than
    /// guess.
    Busy,
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyTooLarge { len, max: max @ crate::layout::MAX_KEY_LEN } => {
                write!(f, "the key has {len} bytes, and any cache takes keys of up to {max}: use a hash of it as the key")
            }
            Self::KeyTooLarge { len, max } => write!(
                f,
                "the key has {len} bytes, and this cache takes keys of up to {max}: create it with a larger max_value_len, \
                 or use a hash of it as the key"
            ),
            Self::ValueTooLarge { len, max } => write!(
                f,
                "the value has {len} bytes, and this cache takes values of up to {max}: create it with a larger max_value_len"
            ),
            Self::ZeroTtl => f.write_str("the time to live is zero, and must be at least a millisecond: leave it out for never"),
            Self::NotAttached(source) => {
                write!(f, "this process is not attached to the cache, and may only read: {source}")
            }
            Self::Busy => f.write_str(
                "the cache has no room at this moment, or others keep changing this key, and nothing is changed: try again",
            ),
        }
    }
}

impl Error for SetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotAttached(source) => Some(source),
            _ => None,
        }
    }
}

impl From<NotAttached> for SetError {
    fn from(source: NotAttached) -> Self {
        Self::NotAttached(source)
    }
}

/// Why a process has no line in the registry of the cache.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant's sentence says what its fields are")]
pub enum NotAttached {
    /// As many processes are attached as the registry has lines: `max_processes`.
    RegistryFull { max_processes: u32 },
    /// The descriptor that would hold the line could not be had.
    Io(io::Error),
}

impl fmt::Display for NotAttached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegistryFull { max_processes } => write!(
                f,
                "all {max_processes} lines of the registry are taken by living processes (one for each time that one of them opened the cache): create the cache with more \
                 max_processes, or end one of them (the next write tries again)"
            ),
            Self::Io(source) => write!(
                f,
                "the descriptor and lock that hold a registry line cannot be had ({source}): raise the limit of open files \
                 (ulimit -n) if that was reached, or mend what the system says; the next write tries again"
            ),
        }
    }
}

impl Error for NotAttached {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            Self::RegistryFull { .. } => None,
        }
    }
}

/// Why a counter was not changed.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant's sentence says what its fields are")]
pub enum IncrementError {
    /// The key holds a value of `len` bytes, which is no counter.
    NotACounter { len: usize },
    /// The sum of the `current` value and `delta` does not fit 64 bits.
    Overflow { current: i64, delta: i64 },
    /// The new value could not be stored.
    Set(SetError),
}

impl fmt::Display for IncrementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotACounter { len } => {
                write!(f, "the value has {len} bytes and is no counter: remove it, or count under another key")
            }
            Self::Overflow { current, delta } => {
                write!(
                    f,
                    "{current} and {delta} add up to more than a counter of 64 bits holds, and it is left as it is: \
                     add less, or set it anew"
                )
            }
            Self::Set(source) => write!(f, "the counter could not be stored: {source}"),
        }
    }
}

impl Error for IncrementError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Set(source) => Some(source),
            _ => None,
        }
    }
}

impl From<SetError> for IncrementError {
    fn from(source: SetError) -> Self {
        Self::Set(source)
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
