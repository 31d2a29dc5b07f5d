//! Opening what is there, and what is not what it should be.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::{Scratch, in_child};
use crate::error::OpenError;
use crate::os::file::{self, FileOptions, is_same_file, open_existing, reopen};
use crate::os::lock;

const PRIVATE: FileOptions = FileOptions { mode: 0o600, allow_unknown_filesystem: false, magic: *b"shmemo\r\n" };
const SHARED: FileOptions = FileOptions { mode: 0o660, allow_unknown_filesystem: false, magic: *b"shmemo\r\n" };

fn file_with_mode(scratch: &Scratch, mode: u32) -> std::path::PathBuf {
    let path = scratch.path("file");
    fs::write(&path, b"abc").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_file_of_ones_own_is_opened() {
    let scratch = Scratch::new();
    let path = file_with_mode(&scratch, 0o600);
    let opened = open_existing(&path, &PRIVATE).unwrap();
    assert_eq!((opened.len, opened.mode, opened.kind.memory), (3, 0o600, true));
    assert!(is_same_file(&path, opened.device, opened.inode));
    fs::remove_file(&path).unwrap();
    assert!(!is_same_file(&path, opened.device, opened.inode));
    assert!(matches!(open_existing(&path, &PRIVATE), Err(OpenError::NotFound { .. })));
    assert_eq!(scratch.names(), [""; 0], "opening creates nothing");
}

#[test]
fn only_regular_files_are_accepted_and_nothing_blocks() {
    let scratch = Scratch::new();
    let path = |name| scratch.path(name);
    file_with_mode(&scratch, 0o600);
    symlink(path("file"), path("link")).unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    fs::create_dir(path("directory")).unwrap();
    let _listener = UnixListener::bind(path("socket")).unwrap();
    let fifo = std::ffi::CString::new(path("fifo").as_os_str().as_bytes()).unwrap();
    // SAFETY: the pointer is to a string that ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let found = |path: &std::path::Path| match open_existing(path, &PRIVATE) {
        Err(OpenError::NotARegularFile { kind, .. }) => kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(found(&path("link")), "symbolic link");
    assert_eq!(found(&path("dangling")), "symbolic link");
    assert_eq!(found(&path("directory")), "directory");
    assert_eq!(found(&path("socket")), "socket");
    assert_eq!(found(&path("fifo")), "FIFO");
    assert_eq!(found("/dev/null".as_ref()), "device");
}

#[test]
fn a_file_that_others_may_write_is_refused() {
    let scratch = Scratch::new();
    let path = file_with_mode(&scratch, 0o622);
    let error = open_existing(&path, &PRIVATE).unwrap_err();
    assert!(matches!(error, OpenError::WrongMode { found: 0o622, allowed: 0o600, .. }), "{error}");
    let error = open_existing(&path, &SHARED).unwrap_err();
    assert!(matches!(error, OpenError::WrongMode { found: 0o622, .. }), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    open_existing(&path, &SHARED).unwrap();
}

#[test]
fn a_file_of_another_user_is_refused_unless_it_is_shared() {
    let check = |owner, options: &FileOptions| file::check_writers("x".as_ref(), owner, 0o600, 7, options.mode);
    assert!(matches!(check(8, &PRIVATE), Err(OpenError::WrongOwner { found: 8, expected: 7, .. })));
    check(8, &SHARED).unwrap();
    check(7, &PRIVATE).unwrap();
}

/// Whoever lets others read does not trust what they put there.
#[test]
fn only_a_mode_that_lets_others_write_trusts_their_files() {
    let check = |mode, owner| file::check_writers("x".as_ref(), owner, 0o600, 7, mode);
    for mode in [0o600, 0o604, 0o640, 0o644] {
        assert!(matches!(check(mode, 8), Err(OpenError::WrongOwner { found: 8, expected: 7, .. })), "{mode:o}");
        check(mode, 7).unwrap();
    }
    for mode in [0o602, 0o620, 0o660, 0o662, 0o666] {
        check(mode, 8).unwrap();
        check(mode, 7).unwrap();
    }
}

#[test]
fn no_permission_is_an_error_of_its_own() {
    let scratch = Scratch::new();
    let path = file_with_mode(&scratch, 0);
    let child = in_child(|| {
        // SAFETY: changes only the rights of this child, which may do so if it runs as root, and need not otherwise.
        unsafe { libc::setuid(65_534) };
        matches!(open_existing(&path, &PRIVATE), Err(OpenError::PermissionDenied { .. }))
    });
    child.expect_success();
}

#[test]
fn a_file_opens_again_without_its_path() {
    let scratch = Scratch::on_disk();
    let path = scratch.path("file");
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let again = reopen(&file).unwrap();
    assert!(lock::try_lock(file.as_fd(), 0, 0, lock::Kind::Exclusive).unwrap());
    assert!(lock::locked_by_another(again.as_fd(), 0, 0).unwrap());
}

#[test]
fn what_lies_on_proc_is_refused() {
    let error = open_existing("/proc/self/comm".as_ref(), &FileOptions { mode: 0o666, ..PRIVATE }).unwrap_err();
    assert!(matches!(error, OpenError::UnsupportedFilesystem { name: "proc", .. }), "{error}");
}
