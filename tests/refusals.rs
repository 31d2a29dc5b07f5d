//! What opening refuses by what is asked for and by what is there, each with its own error; and that it leaves the place
//! as it found it. Refusals by rights and room are in `access.rs`, those of descriptors in `anonymous.rs`,
//! and that of a system without locks in `locks.rs`.

mod common;

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use common::Scratch;
use common::refusal::{CAPACITY, ino, made, patch, refused, small};
use shmemo::{Builder, Cache, OnMismatch, OpenError};

#[test]
fn impossible_options() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let new = Cache::builder;
    assert_error!(refused(&scratch, new().capacity(0).open(&path)), OpenError::CapacityTooSmall { given: 0, min: CAPACITY });
    assert_error!(refused(&scratch, new().capacity(CAPACITY - 1).open(&path)), OpenError::CapacityTooSmall { .. });
    assert_error!(refused(&scratch, new().capacity((1 << 40) + 1).open(&path)), OpenError::CapacityTooLarge { max, .. } if *max == 1 << 40);
    assert_error!(refused(&scratch, new().capacity(u64::MAX).open(&path)), OpenError::CapacityTooLarge { .. });
    let invalid = [
        ("max_entries", small().max_entries(0)),
        ("max_entries", small().max_entries(1 << 32)),
        ("max_value_len", small().max_value_len(0)),
        ("max_value_len", small().max_value_len((CAPACITY / 16) as usize + 1)),
        ("max_value_len", small().max_value_len(usize::MAX)),
        ("expected_entry_size", small().expected_entry_size(0)),
        ("expected_entry_size", small().expected_entry_size(31)),
        ("expected_entry_size", small().expected_entry_size(usize::MAX)),
        ("max_processes", small().max_processes(0)),
        ("max_processes", small().max_processes(u32::MAX)),
        ("default_ttl", small().default_ttl(Duration::ZERO)),
        ("mode", small().mode(0o400)),
        ("mode", small().mode(0o777)),
        ("mode", small().mode(0o4600)),
    ];
    for (name, builder) in invalid {
        for result in [builder.clone().open(&path), builder.clone().create_new(&path), builder.clone().anonymous()] {
            assert_error!(refused(&scratch, result), OpenError::InvalidOption { option, .. } if *option == name);
        }
    }
    assert_eq!(scratch.names(), [""; 0]);
    // What is impossible stays impossible when the file is there.
    let path = made(&scratch);
    assert_error!(refused(&scratch, small().max_entries(0).open(&path)), OpenError::InvalidOption { .. });
    assert_error!(refused(&scratch, new().capacity(5).attach(&path)), OpenError::CapacityTooSmall { .. });
}

/// Without a capacity only what no capacity makes possible is refused before the file is looked at.
#[test]
fn options_are_checked_against_the_capacity_that_counts() {
    let new = Cache::builder;
    let scratch = Scratch::new();
    let path = made(&scratch);
    // Each is too much for 1 MiB, or for 1 GiB, and not for every file.
    let (longest, size) = ((1 << 30) + 1, (1 << 30) / 16 + 1);
    let possible = [new().max_value_len(longest), new().expected_entry_size(size), new().max_processes(u32::from(u16::MAX))];
    for builder in possible {
        assert_error!(refused(&scratch, builder.clone().open(&path)), OpenError::GeometryMismatch { .. });
        let used = builder.clone().on_mismatch(OnMismatch::UseExisting).open(&path).expect("what is there");
        assert_eq!(used.capacity(), CAPACITY);
        // For a new file it is the capacity of that one, and the error names it.
        let error = refused(&scratch, builder.capacity(CAPACITY).open(scratch.path("new")));
        assert_error!(&error, OpenError::InvalidOption { allowed, .. } if allowed.contains("a capacity of 1048576 bytes"));
        assert!(error.to_string().contains("a capacity of 1048576 bytes"), "{error}");
    }
    let never = [new().max_value_len(1 << 32), new().expected_entry_size((1 << 36) + 1), new().max_processes(1 << 16)];
    for builder in never {
        let error = refused(&scratch, builder.on_mismatch(OnMismatch::UseExisting).open(&path));
        assert_error!(error, OpenError::InvalidOption { allowed, .. } if allowed.contains("capacity (1099511627776 bytes)"));
    }
}

#[test]
fn there_or_not_there() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    assert_error!(refused(&scratch, small().attach(&path)), OpenError::NotFound { path: at } if *at == path);
    let path = made(&scratch);
    assert_error!(refused(&scratch, small().create_new(&path)), OpenError::AlreadyExists { .. });
    assert_eq!(Cache::open(&path).expect("a cache").get("k").as_deref(), Some(&b"v"[..]));
    let missing = scratch.path("no/such/cache");
    for result in [small().open(&missing), small().create_new(&missing)] {
        assert_error!(refused(&scratch, result), OpenError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
    }
    assert_error!(refused(&scratch, small().attach(&missing)), OpenError::NotFound { .. });
    // A file where a directory should be; names that are none.
    assert_error!(refused(&scratch, small().open(path.join("below"))), OpenError::Io { .. });
    assert!(small().open("").is_err());
    assert!(small().open(scratch.path("new/")).is_err());
    assert!(small().open(scratch.path("nul\0byte")).is_err());
    assert!(small().open(scratch.path(&"n".repeat(300))).is_err());
    assert_eq!(scratch.names(), ["cache"]);
    let longest = scratch.path(&"n".repeat(244));
    assert_error!(small().open(longest.with_file_name("n".repeat(245))).unwrap_err(), OpenError::Io { .. });
    assert_eq!(scratch.names(), ["cache"]);
    drop(small().open(&longest).expect("a cache by the longest name"));
}

/// What is not ours is refused and never touched, `Recreate` or not.
#[test]
fn files_of_others() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let noise: Vec<u8> = (0..2 << 20).map(|i: u32| (i ^ i >> 7) as u8).collect();
    for contents in [&b""[..], b"x", b"SQLite format 3\0 and so on", b"shmemo\r", b"shmemo\n\n------------", &noise] {
        std::fs::write(&path, contents).expect("a file");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
        for action in [OnMismatch::Error, OnMismatch::UseExisting, OnMismatch::Recreate] {
            let error = refused(&scratch, small().on_mismatch(action).open(&path));
            assert_error!(error, OpenError::NotAShmemoFile { found, .. } if found[..] == contents[..contents.len().min(8)]);
            assert_error!(refused(&scratch, small().on_mismatch(action).attach(&path)), OpenError::NotAShmemoFile { .. });
            assert!(small().on_mismatch(action).create_new(&path).is_err());
            assert_eq!(std::fs::read(&path).expect("the file"), contents, "it was touched");
        }
    }
}

/// A file of ours that cannot be used: refused, unless it may be made anew.
fn damaged(damage: &dyn Fn(&Path), expected: &dyn Fn(&OpenError) -> bool) {
    let scratch = Scratch::new();
    let path = made(&scratch);
    damage(&path);
    for action in [OnMismatch::Error, OnMismatch::UseExisting] {
        for result in [small().on_mismatch(action).open(&path), small().on_mismatch(action).attach(&path)] {
            let error = refused(&scratch, result);
            assert!(expected(&error), "{error:?}");
        }
    }
    let before = ino(&path);
    let cache = small().on_mismatch(OnMismatch::Recreate).open(&path).unwrap_or_else(|error| panic!("{error}"));
    assert_ne!(ino(&path), before);
    assert!(cache.is_current() && cache.is_empty());
    cache.set("k", "v").expect("set");
    assert_eq!(scratch.names(), ["cache"]);
}

#[test]
fn files_of_other_builds_and_damaged_ones() {
    damaged(&|path| patch(path, 8, &[77]), &|error| matches!(error, OpenError::VersionMismatch { found: 77, expected: 1, .. }));
    damaged(
        &|path| patch(path, 16, &[1; 8]),
        &|error| matches!(error, OpenError::LayoutMismatch { found, .. } if *found == u64::from_le_bytes([1; 8])),
    );
    damaged(
        &|path| patch(path, 24, &[1; 8]),
        &|error| matches!(error, OpenError::HashMismatch { found, .. } if *found == u64::from_le_bytes([1; 8])),
    );
    // Each word that the checksum covers, and the checksum itself.
    for at in (32..=144).step_by(8) {
        damaged(&|path| patch(path, at, &[0xee; 8]), &|error| matches!(error, OpenError::CorruptHeader { .. }));
    }
    let cut = |len| move |path: &Path| File::options().write(true).open(path).and_then(|file| file.set_len(len)).expect("cut");
    for len in [8, 15, 16, 100, 4096, CAPACITY / 2, CAPACITY - 1] {
        damaged(
            &cut(len),
            &|error| matches!(error, OpenError::Truncated { found, expected, .. } if *found == len && expected > found),
        );
    }
    // A longer file is no matter.
    let scratch = Scratch::new();
    let path = made(&scratch);
    cut(CAPACITY * 2)(&path);
    assert_eq!(small().open(&path).expect("a cache").get("k").as_deref(), Some(&b"v"[..]));
}

type Ask = fn(Builder) -> Builder;

#[test]
fn another_geometry() {
    let asked: [(&str, Ask); 5] = [
        ("capacity", |builder| builder.capacity(2 << 20)),
        ("max_entries", |builder| builder.max_entries(10)),
        ("max_value_len", |builder| builder.max_value_len(1000)),
        ("expected_entry_size", |builder| builder.expected_entry_size(100)),
        ("max_processes", |builder| builder.max_processes(3)),
    ];
    for (name, ask) in asked {
        let scratch = Scratch::new();
        let path = made(&scratch);
        let old = Cache::open(&path).expect("without options it takes what is there");
        for result in [ask(Cache::builder()).open(&path), ask(Cache::builder()).attach(&path)] {
            let error = refused(&scratch, result);
            assert_error!(error, OpenError::GeometryMismatch { option, found, asked, .. } if *option == name && found != asked);
        }
        let used = ask(Cache::builder()).on_mismatch(OnMismatch::UseExisting).open(&path).expect("what is there");
        assert_eq!((used.capacity(), used.get("k").as_deref()), (CAPACITY, Some(&b"v"[..])));
        let new = ask(Cache::builder()).on_mismatch(OnMismatch::Recreate).open(&path).expect("a new one");
        assert!(new.is_empty() && new.is_current() && !old.is_current() && !used.is_current());
        new.set("k", "new").expect("set");
        assert_eq!(old.get("k").as_deref(), Some(&b"v"[..]), "those who have the old one keep it");
        old.set("k", "old").expect("set");
        assert_eq!(new.get("k").as_deref(), Some(&b"new"[..]));
        let again = ask(Cache::builder()).open(&path).expect("it is what is asked for");
        assert_eq!(again.get("k").as_deref(), Some(&b"new"[..]));
        // One that fits is not made anew.
        let before = ino(&path);
        assert!(!ask(Cache::builder()).on_mismatch(OnMismatch::Recreate).open(&path).expect("it").is_empty());
        assert_eq!((ino(&path), scratch.names()), (before, vec!["cache".to_owned()]));
    }
}

/// Asks for what the error says to ask for: a number, or nothing.
#[test]
fn the_advice_on_another_geometry_works() {
    type AskFor = fn(Builder, u64) -> Builder;
    let options: [(&str, u64, AskFor); 5] = [
        ("capacity", 2 << 20, |builder, n| builder.capacity(n)),
        ("max_entries", 10, |builder, n| builder.max_entries(n)),
        ("max_value_len", 1000, |builder, n| builder.max_value_len(n as usize)),
        ("expected_entry_size", 100, |builder, n| builder.expected_entry_size(n as usize)),
        ("max_processes", 3, |builder, n| builder.max_processes(n as u32)),
    ];
    for (name, other, ask) in options {
        for is_made_with_it in [false, true] {
            let scratch = Scratch::new();
            let path = scratch.path("cache");
            drop(if is_made_with_it { ask(small(), other) } else { small() }.create_new(&path).expect("a cache"));
            let wrong = if is_made_with_it { other + 4096 } else { other };
            let error = refused(&scratch, ask(Cache::builder(), wrong).open(&path));
            assert_error!(&error, OpenError::GeometryMismatch { option, .. } if *option == name);
            let text = error.to_string();
            assert!(text.contains(&format!("leave {name} out")), "{text}");
            Cache::builder().attach(&path).expect("left out");
            if let Some((_, number)) = text.split_once("or ask for ") {
                let number: String = number.chars().take_while(char::is_ascii_digit).collect();
                ask(Cache::builder(), number.parse().expect("a number")).attach(&path).expect("what is advised");
            } else {
                assert_eq!((name, is_made_with_it), ("max_entries", false), "{text}");
            }
            assert!(text.contains("on_mismatch(UseExisting)") && text.contains("on_mismatch(Recreate)"), "{text}");
            for action in [OnMismatch::UseExisting, OnMismatch::Recreate] {
                ask(Cache::builder(), wrong).on_mismatch(action).attach(&path).expect("what is advised");
            }
        }
    }
}

#[test]
fn what_is_no_regular_file() {
    let scratch = Scratch::new();
    let target = made(&scratch);
    let c_text = |path: &Path| std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no zero");
    let fifo = scratch.path("fifo");
    // SAFETY: the pointer is to a string that ends with a zero and lives across the call.
    assert_eq!(unsafe { libc::mkfifo(c_text(&fifo).as_ptr(), 0o600) }, 0);
    let (link, dangling, dir) = (scratch.path("link"), scratch.path("dangling"), scratch.path("dir"));
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    std::os::unix::fs::symlink(scratch.path("nothing"), &dangling).expect("a link");
    std::fs::create_dir(&dir).expect("a directory");
    let socket = scratch.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let names = scratch.names();
    let odd: [(&Path, &str); 6] = [
        (&link, "symbolic link"),
        (&dangling, "symbolic link"),
        (&fifo, "FIFO"),
        (&dir, "directory"),
        (&socket, "socket"),
        (Path::new("/dev/null"), "device"),
    ];
    for (path, expected) in odd {
        for action in [OnMismatch::Error, OnMismatch::UseExisting, OnMismatch::Recreate] {
            let start = Instant::now();
            for result in [small().on_mismatch(action).open(path), small().on_mismatch(action).attach(path)] {
                assert_error!(refused(&scratch, result), OpenError::NotARegularFile { kind, .. } if *kind == expected);
            }
            assert!(start.elapsed() < Duration::from_secs(5), "{} blocked", path.display());
        }
        if path.starts_with(scratch.dir()) {
            assert_error!(refused(&scratch, small().create_new(path)), OpenError::AlreadyExists { .. });
        }
    }
    assert_eq!(scratch.names(), names, "nothing was made, followed or replaced");
}

/// The lock file for creators may be squatted upon: never followed, never destroyed, never waited for.
#[test]
fn a_strange_lock_file() {
    let scratch = Scratch::new();
    let (path, lock) = (scratch.path("cache"), scratch.path("cache.lock"));
    let victim = scratch.path("victim");
    std::fs::write(&victim, "precious").expect("a file");
    std::os::unix::fs::symlink(&victim, &lock).expect("a link");
    assert_error!(small().open(&path).expect_err("a link"), OpenError::NotARegularFile { .. });
    std::fs::remove_file(&lock).expect("removed");
    std::fs::write(&lock, "somebody's").expect("a file");
    std::fs::set_permissions(&lock, Permissions::from_mode(0o600)).expect("its mode");
    assert_error!(small().open(&path).expect_err("not empty"), OpenError::Io { .. });
    assert_eq!(std::fs::read(&lock).expect("the file"), b"somebody's");
    assert_eq!(std::fs::read(&victim).expect("the file"), b"precious");
    std::fs::remove_file(&lock).expect("removed");
    // What a killed creator may leave is no matter.
    std::fs::write(&lock, "").expect("a file");
    std::fs::set_permissions(&lock, Permissions::from_mode(0o600)).expect("its mode");
    std::fs::write(scratch.path("cache.shmemo-tmp"), [0; 100]).expect("a file");
    small().open(&path).expect("a cache");
    assert_eq!(scratch.names(), ["cache", "victim"]);
}
