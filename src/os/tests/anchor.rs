//! What a lock outlives that an anchor keeps, and what it does not.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::*;
use crate::os::lock::{Kind, locked_by_another, try_lock};
use crate::os::tests::{Scratch, bare_fork, in_child, wait_until};

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

/// Locks a byte by a description that only the anchor keeps.
fn lock_and_close(page: &WipedPage, path: &Path) {
    let file = open(path);
    page.anchor(3).hold(file.as_fd()).unwrap();
    assert!(try_lock(file.as_fd(), 9, 1, Kind::Exclusive).unwrap());
}

/// On each kind of file system that there is here.
fn files() -> [(Scratch, PathBuf); 2] {
    [Scratch::new(), Scratch::on_disk()].map(|scratch| {
        let path = scratch.path("anchor");
        open(&path).write_all(&[0; 8192]).unwrap();
        (scratch, path)
    })
}

/// Longer than a test takes, and no longer than a process may be left behind.
fn outlive() -> bool {
    std::thread::sleep(std::time::Duration::from_secs(5));
    true
}

#[test]
fn a_lock_stays_without_a_descriptor_until_it_is_given_up() {
    for (_scratch, path) in files() {
        let (page, other) = (WipedPage::new().unwrap(), open(&path));
        lock_and_close(&page, &path);
        assert!(locked_by_another(other.as_fd(), 9, 1).unwrap());
        lock_and_close(&page, &scratch_twin(&path));
        assert!(!locked_by_another(other.as_fd(), 9, 1).unwrap(), "another one took its place");
        lock_and_close(&page, &path);
        page.anchor(3).release();
        page.anchor(3).release();
        assert!(!locked_by_another(other.as_fd(), 9, 1).unwrap());
    }
}

fn scratch_twin(path: &Path) -> PathBuf {
    let twin = path.with_extension("twin");
    open(&twin).write_all(&[0; 8192]).unwrap();
    twin
}

/// It stays for as long as the process lives, even when all descriptors are closed by force, and goes with it, although a
/// child of each kind lives on.
#[test]
fn a_lock_dies_with_its_process_and_no_child_keeps_it() {
    for (_scratch, path) in files() {
        let other = open(&path);
        let (mut ready, says) = io::pipe().unwrap();
        let parent = in_child(|| {
            let page = WipedPage::new().unwrap();
            lock_and_close(&page, &path);
            let released = in_child(|| {
                page.anchor(3).release();
                outlive()
            });
            let bare = bare_fork(outlive);
            (&says).write_all(b"!").unwrap();
            // SAFETY: nothing uses the descriptors of this process any more.
            unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
            (released.success(), bare.success()) == (true, true)
        });
        ready.read_exact(&mut [0]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(locked_by_another(other.as_fd(), 9, 1).unwrap());
        parent.kill();
        assert!(!locked_by_another(other.as_fd(), 9, 1).unwrap(), "a child keeps the lock of its dead parent");
    }
}

#[test]
fn a_lock_goes_when_its_process_runs_another_program() {
    use std::os::unix::process::CommandExt;
    for (_scratch, path) in files() {
        let other = open(&path);
        let child = in_child(|| {
            let page = WipedPage::new().unwrap();
            lock_and_close(&page, &path);
            // SAFETY: stops this very process.
            unsafe { libc::raise(libc::SIGSTOP) };
            panic!("{}", std::process::Command::new("sleep").arg("60").exec());
        });
        wait_until("the lock", || locked_by_another(other.as_fd(), 9, 1).unwrap());
        child.signal(libc::SIGCONT);
        wait_until("the other program", || !locked_by_another(other.as_fd(), 9, 1).unwrap());
        child.kill();
    }
}
