//! What shmemo asks of the kernel: files and memory files, file locks, clocks, who a process is and whether it still runs,
//! and what happens at a fork.
//!
//! This layer knows nothing of what lies in a file. It never reads or writes mapped memory of a cache (the page of
//! [`identity`] is private to one process), never holds a lock in shared memory, and never waits for another process but in
//! [`create`], where creators of one path queue on a lock that the kernel drops when its holder dies. It starts no thread,
//! installs no signal handler, and changes nothing of the process that others can see: not its umask, its limits or its
//! directory. Every descriptor is opened close-on-exec, and every system call that a signal interrupts is repeated.
//!
//! | module | what it answers |
//! | --- | --- |
//! | [`anchor`] | a lock that this process has for as long as it has its memory |
//! | [`clock`] | how late is it, on a clock that all processes of a machine share |
//! | [`create`] | a new file that appears under its name only when it is complete |
//! | [`description`] | what a descriptor stands for, whatever closed and opened others meanwhile |
//! | [`mod@file`] | an existing file, opened so that nothing but a trusted regular file is accepted |
//! | [`filesystem`] | is the file system one that is known to work |
//! | [`fork`] | handlers that run around each fork |
//! | [`identity`] | memory that any forked child finds zero, and a lock in it |
//! | [`lock`] | byte-range locks that die with their holder |
//! | [`memfd`] | a file without a name, sealed against a change of its length |
//! | [`random`] | numbers that nobody can guess |
//! | [`space`] | how much can be allocated without a kill or a SIGBUS later |

pub(crate) mod anchor;
pub(crate) mod clock;
pub(crate) mod create;
pub(crate) mod creation;
pub(crate) mod description;
pub(crate) mod file;
pub(crate) mod filesystem;
pub(crate) mod fork;
pub(crate) mod identity;
pub(crate) mod lock;
pub(crate) mod memfd;
pub(crate) mod random;
pub(crate) mod space;

#[cfg(test)]
mod tests;

use std::io;

/// Repeats a system call for as long as signals interrupt it, and turns its -1 into the error that goes with it.
fn retry<T: PartialEq + From<i8>>(mut call: impl FnMut() -> T) -> io::Result<T> {
    loop {
        let result = call();
        if result != T::from(-1) {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
