//! The model checker is at work: the words, halves and fences of [`ModelMemory`] are its own. Were they those of the
//! machine, every model would pass, whatever the protocol did.
#![cfg(shmemo_model)]

use std::panic::{catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

use loom_tests::memory::{ModelMemory, be};
use loom_tests::participant::file;
use shmemo::layout::Layout;
use shmemo::protocol::{Half, Memory, Word};

/// Something that one participant does to the memory, or finds there.
type Act = fn(&ModelMemory, &Layout) -> bool;

fn first(layout: &Layout) -> usize {
    layout.slot_at(0, 0)
}

fn second(layout: &Layout) -> usize {
    layout.slot_at(0, 1)
}

fn load(memory: &ModelMemory, at: usize, order: Ordering) -> bool {
    memory.word(at).load(order) == 1
}

const HAPPENED: &str = "it can happen";

/// Whether there is an execution in which both find what they say that they find.
fn can_happen(one: Act, other: Act) -> bool {
    let explored = catch_unwind(move || {
        loom::model(move || {
            let file = file(2, 2, 0);
            let beside = file.clone();
            let thread = loom::thread::spawn(move || {
                be(1);
                one(&beside.memory, &beside.layout)
            });
            let second = other(&file.memory, &file.layout);
            let first = thread.join().expect("no panic");
            assert!(!(first && second), "{HAPPENED}");
        });
    });
    match explored {
        Ok(()) => false,
        Err(thrown) if thrown.downcast_ref::<String>().is_some_and(|text| text == HAPPENED) => true,
        Err(thrown) => resume_unwind(thrown),
    }
}

#[test]
fn a_word_overtakes_another_unless_an_order_forbids_it() {
    fn send(memory: &ModelMemory, layout: &Layout, order: Ordering) -> bool {
        memory.word(first(layout)).store(1, Relaxed);
        memory.word(second(layout)).store(1, order);
        true
    }
    fn receive(memory: &ModelMemory, layout: &Layout, order: Ordering) -> bool {
        load(memory, second(layout), order) && !load(memory, first(layout), Relaxed)
    }
    assert!(can_happen(|memory, layout| send(memory, layout, Relaxed), |memory, layout| receive(memory, layout, Relaxed)));
    assert!(can_happen(|memory, layout| send(memory, layout, Release), |memory, layout| receive(memory, layout, Relaxed)));
    assert!(!can_happen(|memory, layout| send(memory, layout, Release), |memory, layout| receive(memory, layout, Acquire)));
}

#[test]
fn so_does_an_exchange_and_a_sum() {
    fn exchange(memory: &ModelMemory, layout: &Layout, order: Ordering) -> bool {
        memory.word(first(layout)).store(1, Relaxed);
        memory.word(second(layout)).compare_exchange(0, 1, order, Relaxed).is_ok()
    }
    fn add(memory: &ModelMemory, layout: &Layout, order: Ordering) -> bool {
        memory.word(first(layout)).store(1, Relaxed);
        memory.word(second(layout)).fetch_add(1, order) == 0
    }
    let receive: Act = |memory, layout| load(memory, second(layout), Acquire) && !load(memory, first(layout), Relaxed);
    assert!(can_happen(|memory, layout| exchange(memory, layout, Relaxed), receive));
    assert!(!can_happen(|memory, layout| exchange(memory, layout, AcqRel), receive));
    assert!(can_happen(|memory, layout| add(memory, layout, Relaxed), receive));
    assert!(!can_happen(|memory, layout| add(memory, layout, AcqRel), receive));
}

#[test]
fn so_does_a_half_unless_fences_forbid_it() {
    fn send(memory: &ModelMemory, layout: &Layout, fence: Ordering) -> bool {
        memory.word(first(layout)).store(1, Relaxed);
        memory.fence(fence);
        memory.half(layout.ghost_at(0, 0)).store(1);
        true
    }
    let receive: Act = |memory, layout| {
        let has_come = memory.half(layout.ghost_at(0, 0)).load() == 1;
        memory.fence(Acquire);
        has_come && !load(memory, first(layout), Relaxed)
    };
    assert!(can_happen(|memory, layout| send(memory, layout, Relaxed), receive), "no fence");
    assert!(!can_happen(|memory, layout| send(memory, layout, Release), receive));
}

#[test]
fn two_miss_each_other_unless_full_fences_forbid_it() {
    fn miss(memory: &ModelMemory, [mine, theirs]: [usize; 2], fence: Ordering) -> bool {
        memory.word(mine).store(1, Release);
        memory.fence(fence);
        !load(memory, theirs, Acquire)
    }
    assert!(can_happen(
        |memory, layout| miss(memory, [first(layout), second(layout)], AcqRel),
        |memory, layout| miss(memory, [second(layout), first(layout)], AcqRel),
    ));
    assert!(!can_happen(
        |memory, layout| miss(memory, [first(layout), second(layout)], SeqCst),
        |memory, layout| miss(memory, [second(layout), first(layout)], SeqCst),
    ));
}

#[test]
fn a_payload_can_be_torn() {
    let write: Act = |memory, layout| {
        memory.write_payload(layout.unit_at(0, 0), &[1; 16]);
        true
    };
    let read: Act = |memory, layout| {
        let mut found = Vec::new();
        memory.read_payload(layout.unit_at(0, 0), 16, &mut found);
        found[..8] != found[8..]
    };
    let compare: Act = |memory, layout| {
        let [new, old] = [[1; 8], [0; 8]];
        memory.payload_equals(layout.unit_at(0, 0), &[old, new].concat())
    };
    let copy: Act = |memory, layout| {
        let [from, to] = [0, 1].map(|segment| layout.unit_at(segment, 0));
        memory.copy_payload(from, to, 16);
        let [first, second] = [to, to + 8].map(|at| memory.word(at).load(Relaxed));
        first != second
    };
    for torn in [read, compare, copy] {
        assert!(can_happen(write, torn));
    }
}
