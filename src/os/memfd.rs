//! Files without a name, which end with the last process that has them open.
//!
//! They are sealed: nobody can cut one short or lengthen it while others have it mapped, nor take the seals off.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::file::{self, OpenedFile};
use super::{create, filesystem, retry};
use crate::error::{ANONYMOUS, OpenError};

const NEEDED: [(libc::c_int, &str); 2] = [(libc::F_SEAL_SHRINK, "F_SEAL_SHRINK"), (libc::F_SEAL_GROW, "F_SEAL_GROW")];
/// `MFD_NOEXEC_SEAL`, from 6.3 on: some systems demand it.
const NEVER_EXECUTABLE: libc::c_uint = 0x0008;
/// `F_SEAL_FUTURE_WRITE`, from 5.1 on.
const SEAL_FUTURE_WRITE: libc::c_int = 0x0010;

/// Makes a memory file of this length with all its memory allocated, lets `init` write, and seals it. The name is only for
/// those who look into `/proc`.
pub(crate) fn create_memfd(name: &str, len: u64, init: &mut dyn FnMut(&File) -> io::Result<()>) -> Result<OpenedFile, OpenError> {
    let path = Path::new(ANONYMOUS);
    let file = new_file(name).map_err(|source| OpenError::io("create a memory file", path, source))?;
    create::allocate(&file, path, true, len)?;
    init(&file).map_err(|source| OpenError::io("write the new file", path, source))?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: the descriptor is open, and no memory is passed.
    retry(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })
        .map_err(|source| OpenError::io("seal the memory file", path, source))?;
    OpenedFile::new(file, path, filesystem::Kind { memory: true, known: true })
}

fn new_file(name: &str) -> io::Result<File> {
    let name = CString::new(name)?;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the pointer is to a string that ends with a zero and lives across the call.
    let create = |flags| retry(|| unsafe { libc::memfd_create(name.as_ptr(), flags) });
    let descriptor = match create(flags | NEVER_EXECUTABLE) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => create(flags),
        other => other,
    }?;
    // SAFETY: the descriptor is new, and nothing else has it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

/// Checks that the length of the file can never change again.
pub(crate) fn check_seals(fd: BorrowedFd<'_>) -> Result<(), OpenError> {
    let names = |held: libc::c_int| {
        let missing = NEEDED.iter().filter(|(seal, _)| held & seal == 0).map(|&(_, name)| name);
        missing.collect::<Vec<_>>().join(", ")
    };
    // A file that can have no seals at all has none.
    let held = seals(fd).unwrap_or(0);
    match names(held) {
        missing if missing.is_empty() => Ok(()),
        missing => Err(OpenError::NotSealed { missing }),
    }
}

fn seals(fd: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    // SAFETY: the descriptor is borrowed, so it is open; no memory is passed.
    retry(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) })
}

/// Takes over a descriptor that some other process made: a sealed memory file, open for reading and writing.
pub(crate) fn adopt(fd: OwnedFd) -> Result<OpenedFile, OpenError> {
    let path = Path::new(ANONYMOUS);
    let fail = |what| move |source| OpenError::io(what, Path::new(ANONYMOUS), source);
    let file = File::from(fd);
    let metadata = file.metadata().map_err(fail("look at the descriptor"))?;
    file::check_regular(path, metadata.file_type())?;
    check_seals(file.as_fd())?;
    let kind = filesystem::check(file.as_fd(), path, false)?;
    // SAFETY: the descriptor is open, and no memory is passed.
    let mode = retry(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) }).map_err(fail("look at the descriptor"))?;
    let held = seals(file.as_fd()).map_err(fail("look at the seals"))?;
    if mode & libc::O_ACCMODE != libc::O_RDWR || held & (libc::F_SEAL_WRITE | SEAL_FUTURE_WRITE) != 0 {
        let source = io::Error::new(io::ErrorKind::PermissionDenied, "the descriptor does not allow writing");
        return Err(OpenError::PermissionDenied { path: path.to_owned(), source });
    }
    // SAFETY: the descriptor is open, and no memory is passed.
    retry(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })
        .map_err(fail("keep the descriptor from other programs"))?;
    OpenedFile::new(file, path, kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::lock;
    use std::os::unix::fs::FileExt;

    fn sealed(len: u64) -> OpenedFile {
        create_memfd("test", len, &mut |file| file.write_all_at(b"hello", 0)).unwrap()
    }

    #[test]
    fn it_has_its_length_for_ever() {
        let opened = sealed(1 << 20);
        assert_eq!((opened.len, opened.kind.memory), (1 << 20, true));
        check_seals(opened.file.as_fd()).unwrap();
        assert!(opened.file.set_len(5).is_err() && opened.file.set_len(2 << 20).is_err());
        let mut text = [0; 5];
        opened.file.read_exact_at(&mut text, 0).unwrap();
        assert_eq!(&text, b"hello");
    }

    #[test]
    fn it_opens_again_with_locks_of_its_own() {
        let opened = sealed(4096);
        let again = file::reopen(&opened.file).unwrap();
        assert!(lock::try_lock(opened.file.as_fd(), 0, 1, lock::Kind::Exclusive).unwrap());
        assert!(!lock::try_lock(again.as_fd(), 0, 1, lock::Kind::Exclusive).unwrap());
    }

    #[test]
    fn a_descriptor_is_adopted_only_if_sealed_and_writable() {
        let opened = sealed(4096);
        let adopted = adopt(opened.file.try_clone().unwrap().into()).unwrap();
        assert_eq!((adopted.device, adopted.inode, adopted.len), (opened.device, opened.inode, 4096));

        let unsealed = new_file("test").unwrap();
        let error = adopt(unsealed.into()).unwrap_err();
        assert!(matches!(&error, OpenError::NotSealed { missing } if missing == "F_SEAL_SHRINK, F_SEAL_GROW"), "{error}");
        let error = adopt(File::open("/proc/self/stat").unwrap().into()).unwrap_err();
        assert!(matches!(error, OpenError::NotSealed { .. }), "{error}");
        let error = adopt(File::open("/").unwrap().into()).unwrap_err();
        assert!(matches!(error, OpenError::NotARegularFile { kind: "directory", .. }), "{error}");
        let [_, link] = file::descriptor_links(&opened.file);
        let error = adopt(File::open(link).unwrap().into()).unwrap_err();
        assert!(matches!(error, OpenError::PermissionDenied { .. }), "{error}");
    }

    #[test]
    fn what_the_machine_does_not_have_is_refused_and_not_killed_for() {
        let error = create_memfd("test", 1 << 50, &mut |_| Ok(())).unwrap_err();
        assert!(matches!(error, OpenError::NoSpace { .. } | OpenError::MemoryLimit { .. }), "{error}");
    }

    #[test]
    fn a_name_with_a_zero_is_an_error() {
        assert!(matches!(create_memfd("a\0b", 4096, &mut |_| Ok(())), Err(OpenError::Io { .. })));
    }
}
