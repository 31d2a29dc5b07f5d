//! What stands in a place is used and closed only while it is what was put there.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use super::*;

const MARK: usize = 20;

fn open() -> File {
    File::open("/proc/self/exe").unwrap()
}

fn place() -> Descriptor {
    let metadata = open().metadata().unwrap();
    let file = FileId { device: metadata.dev(), inode: metadata.ino() };
    Descriptor::new(file, Arc::new(WipedPage::new().unwrap()), MARK)
}

fn number(place: &Descriptor) -> Option<RawFd> {
    place.get().map(|fd| fd.as_raw_fd())
}

/// Closes by force what stands in a place, and opens the same file anew under its number.
fn replace_by_force(fd: RawFd) -> File {
    let other = open();
    // SAFETY: the number is one that the caller opened and that nothing else closes; `dup3` takes plain numbers.
    assert_eq!(unsafe { libc::dup3(other.as_raw_fd(), fd, libc::O_CLOEXEC) }, fd);
    other
}

#[test]
fn what_was_put_is_got_taken_and_closed() {
    let place = place();
    assert!(place.get().is_none() && place.take().is_none());
    place.put(open());
    let fd = number(&place).unwrap();
    assert_eq!(place.take().unwrap().as_raw_fd(), fd);
    assert!(place.get().is_none());
    place.put(open());
    place.close();
    assert!(place.get().is_none());
}

#[test]
fn another_description_of_the_same_file_is_neither_used_nor_closed() {
    let (first, second) = (place(), place());
    first.put(open());
    let fd = number(&first).unwrap();
    let _other = replace_by_force(fd);
    assert!(first.get().is_none(), "the same file, but not what was put there");
    second.store(Marked::new(fd));
    assert_eq!(number(&second), Some(fd));
    first.close();
    assert_eq!(number(&second), Some(fd), "it was closed by whom it did not belong to");
}

#[test]
fn a_move_takes_what_is_open_and_forgets_what_is_not() {
    let (from, to) = (place(), place());
    from.put(open());
    let fd = number(&from).unwrap();
    to.put_from(&from);
    assert_eq!((number(&from), number(&to)), (None, Some(fd)));
    from.put(open());
    let other = replace_by_force(number(&from).unwrap());
    to.put_from(&from);
    assert_eq!((number(&from), number(&to)), (None, Some(fd)));
    drop(other);
}

#[test]
fn a_copy_is_what_this_process_did_not_put_there() {
    let place = place();
    assert!(!place.close_copy(), "nothing is there");
    place.put(open());
    assert!(!place.close_copy());
    place.page.word(MARK).store(0, Ordering::Relaxed); // as in a child
    assert!(place.close_copy() && place.get().is_none());
}
