//! Descriptors, and what they stand for.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use super::*;

#[test]
fn a_descriptor_is_known_by_its_file() {
    let file = File::open("/").unwrap();
    let metadata = file.metadata().unwrap();
    assert!(same_file(file.as_raw_fd(), metadata.dev(), metadata.ino()));
    assert!(!same_file(file.as_raw_fd(), metadata.dev(), metadata.ino() + 1));
    assert!(!same_file(-1, metadata.dev(), metadata.ino()));
}

#[test]
fn a_description_is_known_by_its_mark() {
    let open = || File::open("/proc/self/exe").unwrap();
    let (mut one, other) = (open(), open());
    let copy = one.try_clone().unwrap();
    let mark_of_one = mark(one.as_raw_fd());
    assert!(is_marked(one.as_raw_fd(), mark_of_one) && is_marked(copy.as_raw_fd(), mark_of_one));
    assert!(!is_marked(other.as_raw_fd(), mark_of_one));
    assert_ne!(mark(other.as_raw_fd()), mark_of_one);
    assert!(!is_marked(-1, mark_of_one));
    one.seek(SeekFrom::Start(0)).unwrap();
    assert!(!is_marked(copy.as_raw_fd(), mark_of_one));
    let (pipe, _end) = std::io::pipe().unwrap();
    assert_eq!(mark(pipe.as_raw_fd()), UNMARKED);
    assert!(is_marked(pipe.as_raw_fd(), UNMARKED));
}
