//! Creation by many at once, and by those that fail or die.

use super::*;
use crate::os::creation::{self, lock_creation_within};
use crate::os::tests::{Scratch, bare_fork, in_child, wait_until};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

const OPTIONS: FileOptions = FileOptions { mode: 0o600, allow_unknown_filesystem: false, magic: *b"shmemo\r\n" };
const LEN: u64 = 1 << 20;

/// Waits for the lock, whether or not the file is made meanwhile.
fn lock_creation(path: &Path, options: &FileOptions) -> Result<CreationLock, OpenError> {
    creation::lock_creation(path, options, || false).map(|held| held.expect("nobody said that it is made"))
}

fn hello(file: &File) -> io::Result<()> {
    file.write_all_at(b"hello", 0)
}

fn create(path: &Path, replace: bool) -> Result<OpenedFile, OpenError> {
    let held = lock_creation(path, &OPTIONS)?;
    create_file(&held, path, &OPTIONS, LEN, replace, &mut hello)
}

#[test]
fn a_new_file_has_its_space_and_nothing_is_left_beside_it() {
    for (scratch, options) in
        [(Scratch::new(), OPTIONS), (Scratch::on_disk(), FileOptions { allow_unknown_filesystem: true, ..OPTIONS })]
    {
        let path = scratch.path("x");
        let held = lock_creation(&path, &options).unwrap();
        assert_eq!(scratch.names(), ["x.lock"]);
        let opened = create_file(&held, &path, &options, LEN, false, &mut hello).unwrap();
        drop(held);
        assert_eq!((opened.len, opened.mode), (LEN, 0o600));
        assert!(opened.file.metadata().unwrap().blocks() * 512 >= LEN);
        assert!(file::is_same_file(&path, opened.device, opened.inode));
        assert_eq!(scratch.names(), ["x"]);
    }
}

#[test]
fn twenty_creators_make_one_file() {
    let scratch = Scratch::new();
    let (path, log) = (scratch.path("x"), scratch.path("log"));
    let children: Vec<_> = (0..20)
        .map(|_| {
            in_child(|| {
                let held = lock_creation(&path, &OPTIONS).unwrap();
                if path.exists() {
                    return open_existing_len(&path) == LEN;
                }
                let _opened = create_file(&held, &path, &OPTIONS, LEN, false, &mut hello).unwrap();
                File::options().create(true).append(true).open(&log).unwrap().write_all(b"x").is_ok()
            })
        })
        .collect();
    children.into_iter().for_each(crate::os::tests::Child::expect_success);
    assert_eq!(fs::read(&log).unwrap(), b"x");
    assert_eq!(scratch.names(), ["log", "x"]);
}

fn open_existing_len(path: &Path) -> u64 {
    file::open_existing(path, &OPTIONS).unwrap().len
}

#[test]
fn threads_queue_like_processes() {
    let scratch = Scratch::new();
    let path = scratch.path("x");
    let created = AtomicI32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| match create(&path, false) {
                Ok(_) => drop(created.fetch_add(1, Ordering::Relaxed)),
                Err(OpenError::AlreadyExists { .. }) => {}
                Err(other) => panic!("{other}"),
            });
        }
    });
    assert_eq!(created.into_inner(), 1);
    assert_eq!(scratch.names(), ["x"]);
}

#[test]
fn no_two_hold_the_lock_of_a_path_at_once() {
    let scratch = Scratch::new();
    let path = scratch.path("x");
    let holders = AtomicI32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let held = lock_creation(&path, &OPTIONS).unwrap();
                    assert_eq!(holders.fetch_add(1, Ordering::Relaxed), 0);
                    std::thread::yield_now();
                    holders.fetch_sub(1, Ordering::Relaxed);
                    drop(held);
                }
            });
        }
    });
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn a_killed_creator_blocks_nobody_and_leaves_nothing() {
    let scratch = Scratch::new();
    let (path, sign) = (scratch.path("x"), scratch.path("sign"));
    for by_name in [false, true] {
        let child = in_child(|| {
            let held = lock_creation(&path, &OPTIONS).unwrap();
            let mut stop = |_: &File| -> io::Result<()> {
                fs::write(&sign, b"")?;
                loop {
                    std::thread::sleep(Duration::from_secs(1));
                }
            };
            let temporary = sibling(&path, ".shmemo-tmp").unwrap();
            if by_name {
                create_named(&path, &temporary, &OPTIONS, LEN, false, &mut stop).is_ok()
            } else {
                create_file(&held, &path, &OPTIONS, LEN, false, &mut stop).is_ok()
            }
        });
        wait_until("the child to be half way", || sign.exists());
        assert!(!path.exists());
        child.kill();
        create(&path, false).unwrap();
        fs::remove_file(&sign).unwrap();
        assert_eq!(scratch.names(), ["x"]);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_has_the_temporary_name_and_is_no_creators_is_left_alone() {
    let scratch = Scratch::new();
    let (path, temporary) = (scratch.path("x"), scratch.path("x.shmemo-tmp"));
    for stranger in [&b"a list of things"[..], b"short", b"shmemo"] {
        fs::write(&temporary, stranger).unwrap();
        let error = create(&path, false).unwrap_err().to_string();
        assert!(error.contains("x.shmemo-tmp") && error.contains("move it away"), "{error}");
        assert_eq!(fs::read(&temporary).unwrap(), stranger);
    }
    for left_behind in [&b""[..], &[0; 4096], b"shmemo\r\n and more"] {
        fs::write(&temporary, left_behind).unwrap();
        create(&path, false).unwrap();
        assert_eq!(scratch.names(), ["x"]);
        fs::remove_file(&path).unwrap();
    }
}

/// Another user's creator was killed before its file had its mode: those who trust each other must get on.
#[test]
fn what_another_user_left_behind_is_cleared_away_unread() {
    let scratch = Scratch::new();
    let (path, temporary) = (scratch.path("x"), scratch.path("x.shmemo-tmp"));
    fs::write(&temporary, b"not to be read").unwrap();
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(temporary.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
    let child = in_child(|| {
        // SAFETY: changes only the rights of this child, which may do so if it runs as root, and need not otherwise.
        unsafe { libc::setuid(65_534) };
        create(&path, false).is_ok()
    });
    child.expect_success();
    assert_eq!(scratch.names(), ["x"]);
}

#[test]
fn a_forked_child_does_not_keep_the_lock_of_its_dead_parent() {
    let scratch = Scratch::new();
    let (path, sign) = (scratch.path("x"), scratch.path("sign"));
    let parent = in_child(|| {
        let _held = lock_creation(&path, &OPTIONS).unwrap();
        let grandchild = in_child(|| {
            std::thread::sleep(Duration::from_secs(8));
            true
        });
        fs::write(&sign, b"").unwrap();
        grandchild.success()
    });
    wait_until("the grandchild", || sign.exists());
    let start = std::time::Instant::now();
    parent.kill();
    drop(lock_creation(&path, &OPTIONS).unwrap());
    assert!(start.elapsed() < Duration::from_secs(4), "it waited for the grandchild");
}

#[test]
fn whoever_waits_gets_the_lock_though_a_bare_clone_has_a_copy() {
    let scratch = Scratch::new();
    let path = scratch.path("x");
    let held = lock_creation(&path, &OPTIONS).unwrap();
    let clone = bare_fork(|| {
        // SAFETY: only waits.
        unsafe { libc::sleep(20) };
        true
    });
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| lock_creation(&path, &OPTIONS).map(drop));
        // Long enough for the waiter to be in its queue; if it is not, the test shows less and does not fail.
        std::thread::sleep(Duration::from_millis(30));
        drop(held);
        wait_until("the waiter", || waiter.is_finished());
        waiter.join().unwrap().unwrap();
    });
    clone.kill();
}

#[test]
fn whoever_waits_goes_on_when_the_file_is_there_or_the_time_is_over() {
    let scratch = Scratch::new();
    let path = scratch.path("x");
    let _held = lock_creation(&path, &OPTIONS).unwrap();
    let error = lock_creation_within(&path, &OPTIONS, Duration::from_millis(20), || false).unwrap_err();
    let text = format!("{error} {}", std::error::Error::source(&error).map_or(String::new(), ToString::to_string));
    assert!(text.contains("x.lock") && text.contains("stopped"), "{text}");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| lock_creation_within(&path, &OPTIONS, Duration::from_secs(600), || path.exists()));
        fs::write(&path, b"").unwrap();
        wait_until("the waiter", || waiter.is_finished());
        assert!(waiter.join().unwrap().unwrap().is_none());
    });
}

/// A child is forked at every moment of taking the lock, and lives on when its parent is dead.
#[test]
fn a_child_forked_while_the_lock_is_taken_does_not_keep_it() {
    let scratch = Scratch::new();
    for round in 0..10 {
        let (path, sign) = (scratch.path(&format!("x{round}")), scratch.path(&format!("sign{round}")));
        let parent = in_child(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let _held = lock_creation(&path, &OPTIONS).unwrap();
                    wait_until("the end", || false);
                });
                for _ in 0..10 {
                    // Left to itself: it ends when its own time is over.
                    std::mem::forget(in_child(|| {
                        std::thread::sleep(Duration::from_secs(8));
                        true
                    }));
                }
                wait_until("the lock", || path.with_extension("lock").exists());
                fs::write(&sign, b"").unwrap();
                std::thread::sleep(Duration::from_secs(600));
                true
            })
        });
        wait_until("the children", || sign.exists());
        let start = std::time::Instant::now();
        parent.kill();
        drop(lock_creation(&path, &OPTIONS).unwrap());
        assert!(start.elapsed() < Duration::from_secs(4), "it waited for a grandchild");
    }
}

#[test]
fn a_failure_leaves_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path("x");
    let held = lock_creation(&path, &OPTIONS).unwrap();
    let mut fail = |_: &File| Err(io::Error::other("no"));
    assert!(create_file(&held, &path, &OPTIONS, LEN, false, &mut fail).is_err());
    let temporary = sibling(&path, ".shmemo-tmp").unwrap();
    assert!(create_named(&path, &temporary, &OPTIONS, LEN, false, &mut fail).is_err());
    let error = create_file(&held, &path, &OPTIONS, 1 << 50, false, &mut hello).unwrap_err();
    assert!(matches!(error, OpenError::NoSpace { needed, available, .. } if needed == 1 << 50 && available < needed), "{error}");
    drop(held);
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn an_existing_file_is_kept_unless_it_is_to_be_replaced() {
    let scratch = Scratch::new();
    let path = scratch.path("x");
    let first = create(&path, false).unwrap();
    assert!(matches!(create(&path, false), Err(OpenError::AlreadyExists { .. })));
    assert!(file::is_same_file(&path, first.device, first.inode));
    let second = create(&path, true).unwrap();
    assert!(file::is_same_file(&path, second.device, second.inode));
    assert_ne!(first.inode, second.inode);
    assert_eq!(first.file.metadata().unwrap().len(), LEN, "those who have the old one keep it");
    assert_eq!(scratch.names(), ["x"]);
}

#[test]
fn a_file_by_a_temporary_name_keeps_the_same_promises() {
    let scratch = Scratch::new();
    let (path, temporary) = (scratch.path("x"), scratch.path("x.shmemo-tmp"));
    let create = |replace| create_named(&path, &temporary, &OPTIONS, LEN, replace, &mut hello);
    let first = create(false).unwrap();
    assert!(matches!(create(false), Err(OpenError::AlreadyExists { .. })));
    assert!(file::is_same_file(&path, first.device, first.inode));
    let second = create(true).unwrap();
    assert!(file::is_same_file(&path, second.device, second.inode));
    assert_eq!(scratch.names(), ["x"]);
}

#[test]
fn the_mode_is_what_was_asked_for_whatever_the_umask() {
    let scratch = Scratch::new();
    let path = scratch.path("x");
    let options = FileOptions { mode: 0o664, ..OPTIONS };
    let child = in_child(|| {
        // SAFETY: changes only this child.
        unsafe { libc::umask(0o777) };
        let held = lock_creation(&path, &options).unwrap();
        create_file(&held, &path, &options, LEN, false, &mut hello).unwrap().mode == 0o664
    });
    child.expect_success();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o664);
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_not_a_signal() {
    let scratch = Scratch::new();
    let path = scratch.path("x");
    let child = in_child(|| {
        let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
        // SAFETY: the pointer is to an `rlimit`; the call changes only this child.
        unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) };
        matches!(create(&path, false), Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::FileTooLarge)
    });
    child.expect_success();
}

#[test]
fn an_interrupted_allocation_goes_on_in_smaller_pieces() {
    let mut covered = 0;
    let most = 3 << 20;
    let result = in_pieces(100 << 20, |offset, count| {
        if count > most {
            return Err(io::ErrorKind::Interrupted.into());
        }
        assert_eq!(offset, covered);
        covered += count;
        Ok(())
    });
    assert!(result.is_ok() && covered == 100 << 20);
    let full = in_pieces(100 << 20, |offset, _| if offset == 0 { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) });
    assert!(matches!(full, Err((done, _)) if done == 64 << 20));
}

#[test]
fn signals_do_not_stop_the_allocation() {
    extern "C" fn nothing(_: i32) {}
    let scratch = Scratch::new();
    let path = scratch.path("x");
    let child = in_child(|| {
        let interval = libc::timeval { tv_sec: 0, tv_usec: 2_000 };
        let timer = libc::itimerval { it_interval: interval, it_value: interval };
        // SAFETY: the handler does nothing, so it is safe at any moment; the pointers are valid; only this child changes.
        unsafe {
            libc::signal(libc::SIGALRM, nothing as extern "C" fn(i32) as libc::sighandler_t);
            libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
        }
        let held = lock_creation(&path, &OPTIONS).unwrap();
        create_file(&held, &path, &OPTIONS, 96 << 20, false, &mut hello).unwrap().len == 96 << 20
    });
    child.expect_success();
}

#[test]
fn a_path_that_cannot_be_created_is_said_so() {
    let scratch = Scratch::new();
    let error = lock_creation(&scratch.path("missing/x"), &OPTIONS).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    for path in ["/", "..", ""] {
        assert!(matches!(
            lock_creation(Path::new(path), &OPTIONS),
            Err(OpenError::Io { .. } | OpenError::UnsupportedFilesystem { .. })
        ));
    }
    let error = lock_creation(Path::new("/proc/x"), &OPTIONS).unwrap_err();
    assert!(matches!(error, OpenError::UnsupportedFilesystem { name: "proc", .. }), "{error}");
}

#[test]
fn a_lock_file_that_is_somebodys_is_left_alone() {
    let scratch = Scratch::new();
    let (path, lock_path) = (scratch.path("x"), scratch.path("x.lock"));
    fs::write(&lock_path, b"precious").unwrap();
    fs::set_permissions(&lock_path, Permissions::from_mode(0o600)).unwrap();
    let error = lock_creation(&path, &OPTIONS).unwrap_err();
    assert!(error.to_string().contains("x.lock"), "{error}");
    assert_eq!(fs::read(&lock_path).unwrap(), b"precious");
    fs::remove_file(&lock_path).unwrap();
    symlink("/dev/shm/elsewhere", &lock_path).unwrap();
    let error = lock_creation(&path, &OPTIONS).unwrap_err();
    assert!(matches!(error, OpenError::NotARegularFile { kind: "symbolic link", .. }), "{error}");
}
