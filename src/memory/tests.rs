//! Tests of the memories as the protocol sees them.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Extent, HeapMemory};
use crate::protocol::{Half, Memory, Word};

/// All that the trait promises, over at least 4,096 zero bytes whose second kibibyte is for halves.
fn behaves(memory: &impl Memory, len: usize) {
    words_and_halves(memory, len);
    payloads(memory, len);
    matches(memory);
    bounds(memory, len);
}

fn words_and_halves(memory: &impl Memory, len: usize) {
    let word = memory.word(len - 8);
    word.store(7, Release);
    assert_eq!(word.load(Acquire), 7);
    assert_eq!(word.compare_exchange(6, 9, AcqRel, Acquire), Err(7));
    assert_eq!(word.compare_exchange(7, u64::MAX, AcqRel, Acquire), Ok(7));
    assert_eq!(word.fetch_add(2, Relaxed), u64::MAX);
    assert_eq!(memory.word(len - 8).load(Relaxed), 1);
    memory.half(1028).store(5);
    assert_eq!((memory.half(1024).load(), memory.half(1028).load()), (0, 5));
    for order in [Relaxed, Acquire, Release, AcqRel, core::sync::atomic::Ordering::SeqCst] {
        memory.fence(order);
    }
    (0..10).for_each(|attempt| memory.pause(attempt));
    [0, 3, len - 1, len, usize::MAX].into_iter().for_each(|at| memory.prefetch(at));
}

fn matches(memory: &impl Memory) {
    for i in 0..8 {
        memory.word(512 + i * 8).store((i as u64 % 3) << 33 | 1 << 32 | (i as u64 % 2) << 5, Relaxed);
    }
    assert_eq!(memory.match_upper_halves::<8>(512, !1, 2), 0b1001_0010);
    assert_eq!(memory.match_upper_halves::<8>(512, !0, 2), 0);
    assert_eq!(memory.match_lower_halves::<8>(512, 1 << 5), 0b1010_1010);
    (0..16).for_each(|i| memory.half(1024 + i * 4).store((i as u32 % 5) | (1 << 31)));
    assert_eq!(memory.match_halves::<16>(1024, 7, 3), 0b10_0001_0000_1000);
    assert_eq!(memory.halves::<16>(1024), core::array::from_fn(|i| (i as u32 % 5) | (1 << 31)));
    (0..16).for_each(|i| memory.half(1024 + i * 4).store(0));
}

fn payloads(memory: &impl Memory, len: usize) {
    let longest: usize = if cfg!(miri) { 17 } else { 700 };
    let bytes: Vec<u8> = (0..longest).map(|at| (at % 251 + 1) as u8).collect();
    for size in 0..=longest {
        let end = 2048 + size.next_multiple_of(8);
        memory.word(end - 8).store(u64::MAX, Relaxed);
        memory.word(end).store(u64::MAX, Relaxed);
        memory.write_payload(2048, &bytes[..size]);
        assert_eq!(memory.word(end).load(Relaxed), u64::MAX, "len {size}: written beyond the padding");
        let mut out = b"before".to_vec();
        out.reserve(size);
        let place = out.as_ptr();
        memory.read_payload(2048, size, &mut out);
        assert!(out.starts_with(b"before") && out[6..] == bytes[..size], "len {size}");
        assert_eq!(place, out.as_ptr(), "no allocation when there is room");
        assert!(memory.payload_equals(2048, &bytes[..size]));
        memory.copy_payload(2048, 3072, size.next_multiple_of(8));
        assert!(memory.payload_equals(3072, &bytes[..size]));
        let mut padded = Vec::new();
        memory.read_payload(3072, size.next_multiple_of(8), &mut padded);
        assert!(padded[size..].iter().all(|&byte| byte == 0), "len {size}: padding");
        if size > 0 {
            let mut other = bytes[..size].to_vec();
            other[size - 1] ^= 0x80;
            assert!(!memory.payload_equals(2048, &other));
        }
    }
    memory.write_payload(len - 16, &[1; 13]);
    assert!(memory.payload_equals(len - 16, &[1; 13]));
    memory.read_payload(len, 0, &mut Vec::new());
}

/// I1: a panic, never an access, for whatever is not whole and inside.
fn bounds(memory: &impl Memory, len: usize) {
    let panics = |what: &dyn Fn()| catch_unwind(AssertUnwindSafe(what)).is_err();
    // Under Miri a panic takes a second.
    let one_in = if cfg!(miri) { 4 } else { 1 };
    for at in [1, 4, 7, len - 7, len, len - 4, len + 8, usize::MAX & !7, usize::MAX].into_iter().step_by(one_in) {
        assert!(panics(&|| _ = memory.word(at).load(Relaxed)), "word at {at}");
        assert!(panics(&|| memory.write_payload(at, &[0; 9])), "payload at {at}");
        assert!(panics(&|| memory.read_payload(at, 9, &mut Vec::new())), "payload at {at}");
        assert!(panics(&|| _ = memory.payload_equals(at, &[0; 9])), "payload at {at}");
        assert!(panics(&|| memory.copy_payload(at, 0, 16)), "payload at {at}");
        assert!(panics(&|| memory.copy_payload(0, at, 16)), "payload at {at}");
    }
    for at in [1, 2, 1026, len - 3, len, len + 4, usize::MAX & !3, usize::MAX].into_iter().step_by(one_in) {
        assert!(panics(&|| _ = memory.half(at).load()), "half at {at}");
    }
    for (at, size) in [(0, len + 1), (8, len), (len - 8, 9), (8, usize::MAX), (len, 1), (usize::MAX & !7, usize::MAX)] {
        assert!(panics(&|| memory.read_payload(at, size, &mut Vec::new())), "{size} bytes at {at}");
    }
    assert!(panics(&|| memory.copy_payload(0, 64, 12)), "not whole words");
}

#[test]
fn heap_memory_behaves() {
    let memory = HeapMemory::new(4096);
    assert_eq!(memory.len(), 4096);
    behaves(&memory, 4096);
}

#[test]
fn an_extent_is_of_whole_words() {
    for len in [0, 7, 9, 4095, usize::MAX, usize::MAX & !7] {
        assert!(Extent::new(len).is_none(), "{len}");
    }
    assert_eq!(Extent::new(16).map(Extent::len), Some(16));
}

#[test]
fn heap_memory_is_shared_by_threads() {
    let memory = HeapMemory::new(128);
    let rounds = if cfg!(miri) { 20 } else { 10_000 };
    // A seqlock of one writer and one reader, as the protocol has it: odd while the payload is written.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=rounds {
                memory.word(0).store(2 * round - 1, Relaxed);
                memory.fence(Release);
                memory.write_payload(64, &[round as u8; 29]);
                memory.word(0).store(2 * round, Release);
            }
        });
        let mut out = Vec::new();
        while memory.word(0).load(Relaxed) != 2 * rounds {
            let before = memory.word(0).load(Acquire);
            out.clear();
            memory.read_payload(64, 29, &mut out);
            memory.fence(Acquire);
            if before.is_multiple_of(2) && memory.word(0).load(Relaxed) == before {
                assert_eq!(out, [(before / 2) as u8; 29]);
            }
            memory.pause(0);
        }
    });
}

#[cfg(not(miri))]
mod mapped {
    use std::fs::File;
    use std::os::fd::FromRawFd;

    use super::super::MappedMemory;
    use super::{Relaxed, behaves};
    use crate::protocol::{Memory, Word};

    fn file(len: u64) -> File {
        // SAFETY: the name is a string that ends in zero; the descriptor is new and owned by nobody else.
        let file = unsafe {
            let fd = libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC);
            assert!(fd >= 0);
            File::from_raw_fd(fd)
        };
        file.set_len(len).unwrap();
        file
    }

    #[test]
    fn mapped_memory_behaves() {
        for prefault in [false, true] {
            let file = file(1 << 20);
            let memory = MappedMemory::map(&file, 4096, prefault).unwrap();
            assert_eq!(memory.len(), 4096);
            behaves(&memory, 4096);
        }
    }

    #[test]
    fn two_mappings_share_their_bytes() {
        let file = file(8192);
        let (one, other) = (MappedMemory::map(&file, 8192, false).unwrap(), MappedMemory::map(&file, 8192, true).unwrap());
        one.write_payload(4088, b"across a page's end");
        assert!(other.payload_equals(4088, b"across a page's end"));
        other.word(0).store(3, Relaxed);
        assert_eq!(one.word(0).load(Relaxed), 3);
    }

    #[test]
    fn prefaulting_without_the_kernel_changes_nothing() {
        let file = file(3 * 4096);
        let memory = MappedMemory::map(&file, 3 * 4096, false).unwrap();
        memory.word(4096).store(u64::MAX, Relaxed);
        memory.touch();
        assert_eq!(memory.word(4096).load(Relaxed), u64::MAX);
        assert_eq!(std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()), 3 * 8);
    }

    #[test]
    fn refuses_what_the_file_does_not_hold() {
        let file = file(8192);
        for len in [0, 12, 8200, usize::MAX & !7] {
            assert!(MappedMemory::map(&file, len, true).is_err(), "{len}");
        }
    }
}

#[cfg(all(shmemo_fault, not(miri)))]
mod fault {
    use super::{HeapMemory, Memory, Relaxed};
    use crate::fault::{Action, arm, disarm, sites, steps_taken};
    use crate::protocol::Word;

    /// One test, as the hook is one for the process.
    #[test]
    fn counts_stops_and_kills() {
        let memory = HeapMemory::new(64);
        let work = || {
            memory.word(0).store(1, Relaxed);
            memory.word(0).fetch_add(1, Relaxed);
            memory.word(8).store(9, Relaxed);
        };
        arm(0, Action::Count);
        work();
        std::thread::scope(|scope| scope.spawn(work).join().unwrap());
        assert_eq!(steps_taken(), 3, "steps of other threads do not count");
        assert!(sites().len() == 3 && sites().iter().all(|site| site.0 == file!()), "{:?}", sites());
        disarm();
        work();
        assert_eq!(steps_taken(), 3);

        for (action, signal) in [(Action::Kill, libc::SIGKILL), (Action::Stop, libc::SIGSTOP)] {
            let mut status = 0;
            // SAFETY: the child does nothing but the steps, and ends by `_exit`.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    arm(1, action);
                    work();
                    libc::_exit(i32::from(steps_taken() != 3));
                }
                assert_eq!(libc::waitpid(child, &mut status, libc::WUNTRACED), child);
                if action == Action::Stop {
                    assert!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == signal);
                    libc::kill(child, libc::SIGCONT);
                    assert_eq!(libc::waitpid(child, &mut status, 0), child);
                    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
                } else {
                    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal);
                }
            }
        }
    }
}
