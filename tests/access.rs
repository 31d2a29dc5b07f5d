//! What opening refuses by rights, by the kind of file system and by the room there is, each with its own error; and that it
//! leaves the place as it found it.
//!
//! Some of it needs the rights of root. Without them each test still checks what an unprivileged user can bring about.

mod common;

use std::fs::Permissions;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use common::board::Board;
use common::forked::Forked;
use common::group::Group;
use common::refusal::{made, refused, small};
use common::worker::{Args, Worker, serve};
use common::{Scratch, lengths, mounts, wait_until};
use shmemo::{Cache, OnMismatch, OpenError};

#[test]
fn worker_entry() {
    serve(&[
        ("full", full),
        ("holes", holes),
        ("overlay", overlay),
        ("size limit", size_limit),
        ("memory limit", memory_limit),
        ("another user", another_user),
        ("users at once", users_at_once),
        ("squatter", squatter),
    ]);
}

fn is_root() -> bool {
    // SAFETY: the call takes nothing.
    unsafe { libc::geteuid() == 0 }
}

const NOBODY: u32 = 65_534;

/// Runs in a directory that everybody may enter; a child becomes another user.
fn another_user(args: &Args) {
    let dir = PathBuf::from(args.text(0));
    let as_nobody = |check: &dyn Fn()| {
        Forked::spawn(|| {
            // SAFETY: the calls take plain numbers.
            assert!(unsafe { libc::setgid(NOBODY) == 0 && libc::setuid(NOBODY) == 0 });
            check();
        })
        .success();
    };
    let (private, shared, theirs) = (dir.join("private"), dir.join("shared"), dir.join("theirs"));
    small().open(&private).expect("a cache").set("k", "v").expect("set");
    small().mode(0o666).open(&shared).expect("a cache").set("k", "v").expect("set");
    as_nobody(&|| {
        assert_error!(small().open(&private).expect_err("mode 0600"), OpenError::PermissionDenied { .. });
        assert_error!(small().open(dir.join("new")).expect_err("the directory"), OpenError::PermissionDenied { .. });
        assert_error!(small().open(&shared).expect_err("another's"), OpenError::WrongOwner { found: 0, expected: NOBODY, .. });
        // To let others read is no trust in their files.
        assert_error!(small().mode(0o644).open(&shared).expect_err("another's"), OpenError::WrongOwner { found: 0, .. });
        let cache = small().mode(0o666).open(&shared).expect("shared on purpose");
        assert_eq!(cache.get("k").as_deref(), Some(&b"v"[..]));
        cache.set("k", "from nobody").expect("set");
    });
    assert_eq!(small().mode(0o666).open(&shared).expect("a cache").get("k").as_deref(), Some(&b"from nobody"[..]));
    std::os::unix::fs::chown(&private, Some(NOBODY), Some(NOBODY)).expect("given away");
    std::fs::rename(&private, &theirs).expect("renamed");
    for result in [small().open(&theirs), small().on_mismatch(OnMismatch::Recreate).open(&theirs)] {
        assert_error!(result.expect_err("another's"), OpenError::WrongOwner { found: NOBODY, expected: 0, .. });
    }
    as_nobody(&|| assert_eq!(small().open(&theirs).expect("its own").get("k").as_deref(), Some(&b"v"[..])));
}

#[test]
fn files_of_other_users() {
    let scratch = Scratch::new();
    std::fs::set_permissions(scratch.dir(), Permissions::from_mode(0o755)).expect("a mode");
    if is_root() {
        Worker::spawn("another user", &[scratch.dir().to_str().expect("UTF-8")]).success();
        return;
    }
    // Not root: this user's own rights are what can be taken away.
    let path = made(&scratch);
    std::fs::set_permissions(&path, Permissions::from_mode(0o000)).expect("a mode");
    assert_error!(refused(&scratch, small().open(&path)), OpenError::PermissionDenied { .. });
    std::fs::set_permissions(scratch.dir(), Permissions::from_mode(0o555)).expect("a mode");
    assert_error!(small().open(scratch.path("new")).expect_err("the directory"), OpenError::PermissionDenied { .. });
    std::fs::set_permissions(scratch.dir(), Permissions::from_mode(0o755)).expect("a mode");
}

/// Several users whose umask denies the others everything open an absent path at the same moment, round after round. (Without
/// the rights of root it is one user, who denies it to himself.)
fn users_at_once(args: &Args) {
    const USERS: u32 = 12;
    let (dir, board) = (args.text(0), Board::open(args.text(1).as_ref()));
    let user = |number: u32| {
        // SAFETY: the calls take plain numbers.
        unsafe {
            libc::umask(0o777);
            assert!(!is_root() || libc::setgid(NOBODY - number) == 0 && libc::setuid(NOBODY - number) == 0);
        }
        for round in 0..lengths(40, 1000) {
            board.add(0, 1);
            wait_until("the other users", || board.get(0) >= u64::from(USERS) * (round + 1));
            let cache = small().mode(0o666).open(format!("{dir}/{round}")).unwrap_or_else(|error| panic!("{error}"));
            cache.set(number.to_le_bytes(), "here").expect("set");
            wait_until("all in one cache", || cache.len() == USERS as usize);
        }
    };
    let users: Vec<Forked> = (0..USERS).map(|number| Forked::spawn(|| user(number))).collect();
    users.into_iter().for_each(Forked::success);
}

#[test]
fn users_who_open_an_absent_path_at_once_end_up_in_one_cache() {
    let scratch = Scratch::new();
    std::fs::set_permissions(scratch.dir(), Permissions::from_mode(0o777)).expect("a mode");
    let board = scratch.path("board");
    Board::create(&board);
    Worker::spawn("users at once", &[scratch.dir(), &board].map(|path| path.to_str().expect("UTF-8"))).success();
    assert!(scratch.names().iter().all(|name| !name.ends_with(".lock")), "{:?}", scratch.names());
}

const SQUATTER: u32 = 65_533;

/// In a directory where everybody may make files, another user has been first, with all that stands in the way of one.
fn squatter(args: &Args) {
    let dir = PathBuf::from(args.text(0));
    let as_user = |user: u32, act: &dyn Fn()| {
        Forked::spawn(|| {
            // SAFETY: the calls take plain numbers.
            assert!(unsafe { libc::setgid(user) == 0 && libc::setuid(user) == 0 });
            act();
        })
        .success();
    };
    let at = |name: &str| dir.join(name);
    as_user(SQUATTER, &|| {
        // A sound cache that all may write, and one that nobody else may.
        small().mode(0o666).open(at("file")).expect("a cache").set("k", "not to be believed").expect("set");
        small().open(at("private")).expect("a cache");
        std::os::unix::fs::symlink(at("file"), at("link")).expect("a link");
        for (name, mode) in [("locked.lock", 0o666), ("left.shmemo-tmp", 0o666)] {
            std::fs::write(at(name), "").expect("a file");
            std::fs::set_permissions(at(name), Permissions::from_mode(mode)).expect("its mode");
        }
    });
    as_user(NOBODY, &|| {
        for action in [OnMismatch::Error, OnMismatch::UseExisting, OnMismatch::Recreate] {
            let open = |name: &str| small().on_mismatch(action).open(at(name)).expect_err("another's");
            assert_error!(open("file"), OpenError::WrongOwner { found: SQUATTER, expected: NOBODY, .. });
            assert_error!(open("private"), OpenError::PermissionDenied { .. });
            assert_error!(open("link"), OpenError::NotARegularFile { kind: "symbolic link", .. });
            assert_error!(open("locked"), OpenError::WrongOwner { found: SQUATTER, .. });
            assert_error!(open("left"), OpenError::PermissionDenied { .. } | OpenError::Io { .. });
        }
        small().open(at("mine")).expect("a name that was free").set("k", "v").expect("set");
    });
    as_user(SQUATTER, &|| {
        assert_error!(small().open(at("mine")).expect_err("another's"), OpenError::PermissionDenied { .. });
        assert!(std::fs::remove_file(at("mine")).is_err() && std::fs::rename(at("file"), at("mine")).is_err());
        assert!(std::fs::File::open(at("mine")).is_err());
    });
    as_user(NOBODY, &|| assert_eq!(small().open(at("mine")).expect("its own").get("k").as_deref(), Some(&b"v"[..])));
}

#[test]
fn a_name_where_everybody_may_make_files_cannot_be_taken_over() {
    let scratch = Scratch::new();
    let dir = scratch.path("everybody");
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::set_permissions(scratch.dir(), Permissions::from_mode(0o755)).expect("a mode");
    std::fs::set_permissions(&dir, Permissions::from_mode(0o1777)).expect("a mode");
    if is_root() {
        Worker::spawn("squatter", &[dir.to_str().expect("UTF-8")]).success();
    } else {
        // Without another user there is nobody to be kept out; the file is private all the same.
        small().open(dir.join("mine")).expect("a cache");
        assert_eq!(std::fs::metadata(dir.join("mine")).expect("the file").mode() & 0o777, 0o600);
    }
}

#[test]
fn files_that_more_may_write_than_asked_for() {
    let scratch = Scratch::new();
    let path = made(&scratch);
    for (mode, allowed) in [(0o620, 0o600), (0o602, 0o600), (0o666, 0o600), (0o666, 0o660), (0o606, 0o644)] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
        let error = refused(&scratch, small().mode(allowed).open(&path));
        assert_error!(error, OpenError::WrongMode { found, allowed: most, .. } if (*found, *most) == (mode, allowed));
    }
    for (mode, allowed) in [(0o600, 0o600), (0o644, 0o600), (0o660, 0o660), (0o600, 0o666), (0o666, 0o666)] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
        assert!(small().mode(allowed).open(&path).is_ok(), "{mode:o} {allowed:o}");
    }
}

#[test]
fn file_systems_that_are_not_known_to_work() {
    let scratch = Scratch::new();
    let refusal = |path: &str| refused(&scratch, small().open(path));
    assert_error!(refusal("/proc/self/cache"), OpenError::UnsupportedFilesystem { name: "proc", magic: 0x9fa0, .. });
    assert_error!(refusal("/proc/self/comm"), OpenError::UnsupportedFilesystem { name: "proc", .. });
    if Path::new("/sys/kernel").is_dir() {
        assert_error!(refusal("/sys/kernel/cache"), OpenError::UnsupportedFilesystem { name: "sysfs", .. });
    }
    Worker::spawn("overlay", &[scratch.dir().to_str().expect("UTF-8")]).success();
}

fn overlay(args: &Args) {
    let dir = Path::new(args.text(0));
    let at = dir.join("merged");
    std::fs::create_dir(&at).expect("a directory");
    if mounts::overlay(&at, dir) {
        let error = small().open(at.join("cache")).expect_err("an overlay");
        assert_error!(error, OpenError::UnsupportedFilesystem { name: "overlayfs", .. });
        assert_eq!(common::names_in(&at), [""; 0]);
        // At one's own risk.
        let cache = small().allow_unknown_filesystem(true).open(at.join("cache")).expect("allowed");
        cache.set("k", "v").expect("set");
        let same = small().allow_unknown_filesystem(true).open(at.join("cache")).expect("allowed");
        assert_eq!(same.get("k").as_deref(), Some(&b"v"[..]));
    } else {
        let error = small().allow_unknown_filesystem(true).open("/proc/self/cache").expect_err("no file can be made");
        assert!(!matches!(error, OpenError::UnsupportedFilesystem { .. }), "{error:?}");
    }
}

#[test]
fn no_space() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let most = 1u64 << 40;
    let error = refused(&scratch, Cache::builder().capacity(most).open(&path));
    assert_error!(error, OpenError::NoSpace { needed, available, .. } if *needed == most && available < needed);
    assert!(Cache::builder().capacity(most).anonymous().is_err());
    assert_eq!(scratch.names(), [""; 0]);
    Worker::spawn("full", &[scratch.dir().to_str().expect("UTF-8")]).success();
    Worker::spawn("size limit", &[path.to_str().expect("UTF-8")]).success();
}

/// On a file system that is nearly full.
fn full(args: &Args) {
    let dir = Path::new(args.text(0)).join("small");
    std::fs::create_dir(&dir).expect("a directory");
    if !mounts::small_tmpfs(&dir, 8 << 20) {
        assert!(small().open(dir.join("cache")).is_ok());
        return;
    }
    let path = dir.join("cache");
    let builder = || Cache::builder().capacity(6 << 20);
    std::fs::write(dir.join("ballast"), vec![1; 3 << 20]).expect("ballast");
    for _ in 0..3 {
        let error = builder().open(&path).expect_err("no room");
        assert_error!(error, OpenError::NoSpace { needed, available, .. } if *needed == 6 << 20 && *available <= 5 << 20);
        assert_eq!(common::names_in(&dir), ["ballast"]);
    }
    std::fs::remove_file(dir.join("ballast")).expect("removed");
    let cache = builder().open(&path).expect("there is room now");
    // There is no room for a second one beside it, so the old one stays as it is.
    cache.set("k", "v").expect("set");
    let error = builder().max_entries(9).on_mismatch(OnMismatch::Recreate).open(&path).expect_err("no room for two");
    assert_error!(error, OpenError::NoSpace { .. });
    assert!(cache.is_current() && cache.contains("k"));
    assert_eq!(common::names_in(&dir), ["cache"]);
    // All of it is ours, even if the rest of the file system is full.
    std::fs::write(dir.join("ballast"), vec![1; 4 << 20]).expect_err("there was room");
    (0..20_000u32).for_each(|i| cache.set(i.to_le_bytes(), [1; 1000]).expect("set"));
    cache.verify().expect("no corruption");
}

/// A copy that has next to nothing allocated, as tools for copying make them.
fn sparse_copy(from: &Path, to: &Path) {
    let file = std::fs::File::create_new(to).expect("a file");
    file.set_permissions(Permissions::from_mode(0o600)).expect("its mode");
    file.set_len(std::fs::metadata(from).expect("the file").len()).expect("its length");
    let pages = std::fs::read(from).expect("the bytes");
    for (at, page) in pages.chunks(4096).enumerate().filter(|(_, page)| page.iter().any(|&byte| byte != 0)) {
        file.write_all_at(page, at as u64 * 4096).expect("a page");
    }
}

/// To write where nothing is allocated, on a file system that is full, is a SIGBUS.
fn holes(args: &Args) {
    let dir = Path::new(args.text(0)).join("small");
    std::fs::create_dir(&dir).expect("a directory");
    let is_small = mounts::small_tmpfs(&dir, 8 << 20);
    let (path, copy, ballast) = (dir.join("cache"), dir.join("copy"), dir.join("ballast"));
    let builder = || Cache::builder().capacity(5 << 20);
    builder().open(&path).expect("a cache").set("k", "v").expect("set");
    sparse_copy(&path, &copy);
    std::fs::remove_file(&path).expect("removed");
    if is_small {
        std::fs::write(&ballast, vec![1; 4 << 20]).expect("ballast");
        let error = builder().attach(&copy).expect_err("no room for all of it");
        assert_error!(error, OpenError::NoSpace { needed, available, .. } if available < needed && *needed < 5 << 20);
        std::fs::remove_file(&ballast).expect("removed");
    }
    let cache = builder().attach(&copy).expect("there is room");
    assert_eq!(cache.get("k").as_deref(), Some(&b"v"[..]));
    if is_small {
        std::fs::write(&ballast, vec![1; 8 << 20]).expect_err("there was room for more");
    }
    (0..20_000u32).for_each(|i| cache.set(i.to_le_bytes(), [1; 1000]).expect("set"));
    cache.verify().expect("no corruption");
    assert!(std::fs::metadata(&copy).expect("the file").blocks() * 512 >= 5 << 20);
}

#[test]
fn a_file_with_holes() {
    let scratch = Scratch::new();
    Worker::spawn("holes", &[scratch.dir().to_str().expect("UTF-8")]).success();
}

/// Past this limit the kernel would kill.
fn size_limit(args: &Args) {
    let limit = libc::rlimit { rlim_cur: 512 << 10, rlim_max: 512 << 10 };
    // SAFETY: the pointer is to a struct that lives across the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    let error = small().open(args.text(0)).expect_err("the limit");
    assert_error!(error, OpenError::Io { source, .. } if source.kind() == std::io::ErrorKind::FileTooLarge);
    assert!(small().anonymous().is_err());
    assert!(!Path::new(args.text(0)).exists());
}

fn memory_limit(args: &Args) {
    Group::join(args.text(0));
    for result in [Cache::builder().capacity(64 << 20).open(args.text(1)), Cache::builder().capacity(64 << 20).anonymous()] {
        let error = result.expect_err("more than the group may use");
        assert_error!(error, OpenError::MemoryLimit { needed: 0x400_0000, limit: 0x200_0000, .. });
    }
    // The default is made to fit, and can be filled without being killed.
    let cache = Cache::open(args.text(1)).expect("the default fits");
    assert!(cache.capacity() <= 16 << 20, "{}", cache.capacity());
    (0..40_000u32).for_each(|i| cache.set(i.to_le_bytes(), [1; 1000]).expect("set"));
    std::fs::remove_file(args.text(1)).expect("removed");
}

#[test]
fn a_memory_limit_is_an_error_and_no_kill() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    if let Some(group) = Group::new(32 << 20) {
        let worker = Worker::spawn("memory limit", &[group.dir(), path.to_str().expect("UTF-8")]);
        worker.success();
    }
    assert!(!path.exists());
    // Whatever the limits are here, more than all memory is refused.
    let refused = Cache::builder().capacity(1 << 40).anonymous();
    assert!(matches!(refused, Err(OpenError::NoSpace { .. } | OpenError::MemoryLimit { .. })), "{refused:?}");
}
