//! Caches without a name: shared with forked children and with processes that are handed the descriptor, and gone with the
//! last of them. And a registry that is full.

mod common;

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use common::board::Board;
use common::forked::Forked;
use common::load::{Driver, Load, check_all};
use common::worker::{Args, Worker, serve};
use common::{Scratch, names_in, wait_until};
use shmemo::{Cache, NotAttached, OpenError, SetError};

#[test]
fn worker_entry() {
    serve(&[
        ("anonymous", anonymous),
        ("full registry", full_registry),
        ("handed over", handed_over),
        ("not sealed", not_sealed),
        ("adopts", adopts),
    ]);
}

fn load() -> Load {
    Load { keys: 4000, usual_len: 300, longest_key: 100, longest_value: 4000, one_long_in: 50, one_clear_in: 0 }
}

/// Runs a role as a worker, with a board.
fn run(role: &str) {
    let scratch = Scratch::new();
    let board = scratch.path("board");
    Board::create(&board);
    Worker::spawn(role, &[board.to_str().expect("UTF-8")]).success();
    assert_eq!(scratch.names(), ["board"]);
}

/// A child of a process that took the last line reads, and is told when it writes.
fn full_registry(_: &Args) {
    let cache = Cache::builder().capacity(1 << 20).max_processes(1).anonymous().expect("a cache");
    cache.set("parent", "1").expect("set");
    Forked::spawn(|| {
        assert_eq!(cache.get("parent").as_deref(), Some(&b"1"[..]));
        let refused = cache.set("child", "2");
        assert!(matches!(refused, Err(SetError::NotAttached(NotAttached::RegistryFull { max_processes: 1, .. }))), "{refused:?}");
        assert!(cache.add("child", "2", None).is_err() && cache.take("parent").is_none());
        assert!(cache.remove("parent"), "removing needs no line");
    })
    .success();
    assert_eq!(cache.get("parent"), None);
    cache.set("parent", "3").expect("set");
}

#[test]
fn a_child_without_a_line_reads() {
    run("full registry");
}

/// What lies in /dev/shm, but for the directories of tests, which others run at the same time.
fn remnants() -> Vec<String> {
    let others = ["shmemo-test-", "shmemo-os-", ".tmp"];
    names_in("/dev/shm".as_ref()).into_iter().filter(|name| !others.iter().any(|other| name.starts_with(other))).collect()
}

/// An anonymous cache is shared with forked children and leaves nothing, however its processes end.
fn anonymous(args: &Args) {
    let board = Board::open(args.text(0).as_ref());
    let cache = Cache::builder().capacity(2 << 20).anonymous().expect("a cache");
    assert_eq!((cache.path(), cache.is_current()), (None, true));
    let children: Vec<Forked> = (0..4u64)
        .map(|number| {
            Forked::spawn(|| {
                cache.set(number.to_le_bytes(), "child").expect("set");
                board.add(0, 1);
                let mut driver = Driver::new(&cache, load(), number);
                while board.get(1) == 0 {
                    driver.step();
                }
                assert!(cache.increment("sum", 1, 0, None).is_ok());
            })
        })
        .collect();
    wait_until("the children", || board.get(0) == 4);
    assert_eq!(cache.stats().processes, 5);
    std::thread::sleep(Duration::from_millis(300));
    check_all(&cache);
    board.set(1, 1);
    children.into_iter().for_each(Forked::success);
    assert_eq!(cache.get("sum"), Some(4i64.to_le_bytes().to_vec()));
    cache.verify().expect("no corruption");
    // SAFETY: this process ends without any cleaning up, as if it were killed.
    unsafe { libc::_exit(0) };
}

#[test]
fn an_anonymous_cache_is_shared_with_children() {
    let before = remnants();
    run("anonymous");
    let after: Vec<String> = remnants().into_iter().filter(|name| name.contains("shmemo") && !before.contains(name)).collect();
    assert!(after.is_empty(), "{after:?}");
}

/// The descriptor as it stands at number 7 of this process.
fn adopt() -> Result<Cache, OpenError> {
    // SAFETY: the number was prepared by the parent, and nothing else uses it.
    Cache::from_fd(unsafe { OwnedFd::from_raw_fd(7) })
}

fn adopts(args: &Args) {
    let cache = adopt().expect("the cache behind the descriptor");
    assert_eq!(cache.get("parent").as_deref(), Some(&b"1"[..]));
    assert_eq!(cache.stats().processes, 2);
    let mut driver = Driver::new(&cache, load(), args.number(0));
    (0..3000).for_each(|_| driver.step());
    cache.set("child", "2").expect("set");
}

/// A command whose process finds the descriptor under number 7.
fn with_descriptor(role: &str, args: &[&str], fd: i32) -> Worker {
    use std::os::unix::process::CommandExt;
    let mut command = Worker::command(role, args);
    // SAFETY: between fork and exec only `dup2` is called, which is allowed there.
    unsafe {
        command.pre_exec(move || if libc::dup2(fd, 7) == 7 { Ok(()) } else { Err(std::io::Error::last_os_error()) });
    }
    Worker::spawn_command(role, &mut command)
}

fn handed_over(_: &Args) {
    let cache = Cache::builder().capacity(2 << 20).anonymous().expect("a cache");
    cache.set("parent", "1").expect("set");
    let own = Cache::from_fd(cache.as_fd().try_clone_to_owned().expect("a duplicate")).expect("its own descriptor");
    assert_eq!(own.get("parent").as_deref(), Some(&b"1"[..]));
    drop(own);
    with_descriptor("adopts", &["1"], cache.as_fd().as_raw_fd()).success();
    assert_eq!(cache.get("child").as_deref(), Some(&b"2"[..]));
    assert_eq!(cache.stats().processes, 1);
    cache.verify().expect("no corruption");
    // A file with a name is not sealed.
    let scratch = Scratch::new();
    let named = Cache::open(scratch.path("cache")).expect("a cache");
    let refused = Cache::from_fd(named.as_fd().try_clone_to_owned().expect("a duplicate"));
    assert!(matches!(refused, Err(OpenError::NotSealed { .. })), "{refused:?}");
}

#[test]
fn a_descriptor_is_handed_to_a_spawned_process() {
    run("handed over");
}

fn not_sealed(_: &Args) {
    // SAFETY: the name is a string that ends with a zero.
    let fd = unsafe { libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    assert!(fd >= 0);
    // SAFETY: the number is a descriptor that nothing else uses.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let refused = Cache::from_fd(fd.try_clone().expect("a duplicate"));
    assert!(matches!(&refused, Err(OpenError::NotSealed { missing }) if missing.contains("SHRINK")), "{refused:?}");
    // SAFETY: the call takes plain numbers.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW) }, 0);
    let refused = Cache::from_fd(fd);
    assert!(matches!(refused, Err(OpenError::NotAShmemoFile { .. })), "{refused:?}");
}

#[test]
fn a_memory_file_without_seals_is_refused() {
    run("not sealed");
}
