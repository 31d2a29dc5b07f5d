//! Participants: a line in the registry and the operations in short, over one tiny file.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use loom::sync::Arc;
use loom::thread::{JoinHandle, spawn};
use shmemo::layout::{Geometry, header, line};
use shmemo::protocol::{
    Change, Content, Core, Decision, Event, Facts, Hints, Key, Memory, Op, Outcome, Owner, Phase, Plain, Put, StateWord, Step,
    Word, World,
};

use crate::memory::{ModelMemory, Stopped, be, stop_after};

/// The file of a model.
pub type File = Arc<Core<ModelMemory>>;

/// All keys have one hash, and nothing expires.
const FACTS: Facts<'static> = Facts { hash: &|_| 5, latest_expiry_ms: &|| u64::MAX };

/// A world whose clock stands still, each participant's where it is put.
struct Still {
    now: Cell<u64>,
}

impl World for Still {
    fn now_ms(&self) -> u64 {
        self.now.get()
    }

    fn reclaim(&self, _: Owner) -> bool {
        false
    }

    fn entropy(&self) -> u32 {
        0
    }

    fn count(&self, _: Event, _: u64) {}
}

/// An empty file of so many segments, each with room for so many entries, and lines for three participants who have them
/// already.
pub fn file(segments: u64, entries: u64, max_entries: u64) -> File {
    let geometry = Geometry {
        capacity: 1 << 16,
        segments,
        segment_bytes: (entries * 32).next_multiple_of(64),
        buckets: 1,
        ghost_sets: 1,
        lines: 4,
        max_value_len: 8,
        max_entries,
        expected_entry_size: 32,
    };
    let layout = geometry.layout().expect("a valid geometry");
    let core = Core { memory: ModelMemory::new(&layout), layout };
    for line in 0..3 {
        core.take_line(line, 1);
    }
    Arc::new(core)
}

/// One who takes part.
pub struct Participant {
    file: File,
    owner: Owner,
    hints: Hints,
    world: Still,
}

impl Participant {
    /// The one of a line. Several may be of one line: threads of one process.
    pub fn new(file: &File, line: u16) -> Self {
        let owner = Owner { line, incarnation: u64::from(line) + 1 };
        Self { file: file.clone(), owner, hints: Hints::default(), world: Still { now: Cell::new(1) } }
    }

    /// Puts the clock of this participant.
    pub fn at(&self, now: u64) -> &Self {
        self.world.now.set(now);
        self
    }

    fn op(&self) -> Op<'_, ModelMemory> {
        self.file.begin(Some(self.owner), &self.world, &self.hints)
    }

    /// Sets a key. All keys share bucket and tag: the worst case.
    pub fn set(&self, key: u64, value: u64) -> Put {
        self.store(key, value, None)
    }

    /// Sets a key that expires.
    pub fn set_until(&self, key: u64, value: u64, expiry_ms: u64) -> Put {
        self.store(key, value, Some(expiry_ms))
    }

    fn store(&self, key: u64, value: u64, expiry_ms: Option<u64>) -> Put {
        let bytes = key.to_le_bytes();
        self.op().set(&Key::new(&bytes, 5), &Content { value: &value.to_le_bytes(), expiry_ms, version: None })
    }

    /// Lets the entry of a key live for ever.
    pub fn touch(&self, key: u64) -> Outcome {
        self.op().modify(&Key::new(&key.to_le_bytes(), 5), |present| match present {
            None => Decision::Keep,
            Some((_, value)) => Decision::Store(Change { value: std::mem::take(value).into(), expiry_ms: None, version: None }),
        })
    }

    /// Gets a key.
    pub fn get(&self, key: u64) -> Option<u64> {
        let (bytes, mut value) = (key.to_le_bytes(), Vec::new());
        let key = Key::new(&bytes, 5);
        match self.file.get_plain(&key, self.file.layout.max_value_len, &mut value) {
            Plain::Found => {}
            Plain::Absent => return None,
            Plain::Unclear => _ = self.op().get(&key, &mut value)?,
        }
        Some(u64::from_le_bytes(value.try_into().expect("a torn length")))
    }

    /// Removes a key.
    pub fn remove(&self, key: u64) -> bool {
        self.op().remove(&Key::new(&key.to_le_bytes(), 5))
    }

    /// Adds one to a key, which counts from zero.
    pub fn increment(&self, key: u64) -> Outcome {
        self.op().modify(&Key::new(&key.to_le_bytes(), 5), |present| {
            let old = present.map_or(0, |(_, value)| u64::from_le_bytes(value[..].try_into().expect("a torn length")));
            let value = (old + 1).to_le_bytes().to_vec().into();
            Decision::Store(Change { value, expiry_ms: None, version: None })
        })
    }

    /// Takes one step of a sweep of a segment, sealing it first if it is OPEN.
    pub fn sweep(&self, segment: usize) -> Step {
        self.op().sweep_segment(segment)
    }

    /// Does something while a pin of another stands on a segment, as that of one who has stopped in a replace.
    pub fn while_pinned(&self, segment: usize, act: impl FnOnce()) {
        let layout = &self.file.layout;
        let pin = self.file.memory.word(layout.line_at(2, line::PINS));
        let generation = self.file.memory.word(layout.generation_at(segment)).load(Ordering::Acquire);
        pin.store(generation << 20 | (segment as u64 + 1), Ordering::Release);
        act();
        pin.store(0, Ordering::Release);
    }
}

/// Lets a participant do something beside the others.
pub fn beside<T: 'static>(file: &File, line: u16, act: impl FnOnce(&Participant) -> T + 'static) -> JoinHandle<T> {
    let participant = Participant::new(file, line);
    spawn(move || {
        be(usize::from(line));
        act(&participant)
    })
}

/// Lets a participant do something and stop for ever before its next change of shared memory but `steps`. Tells whether
/// it came to the end.
pub fn stopping(file: &File, line: u16, steps: u32, act: impl FnOnce(&Participant) + 'static) -> JoinHandle<bool> {
    let participant = Participant::new(file, line);
    spawn(move || {
        be(usize::from(line));
        stop_after(steps);
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&participant))) {
            Ok(()) => true,
            Err(thrown) if thrown.is::<Stopped>() => false,
            Err(thrown) => std::panic::resume_unwind(thrown),
        }
    })
}

/// Nothing is under way: what must hold now. Gives the live keys.
pub fn check(file: &File) -> Vec<u64> {
    let summary = file.verify(&FACTS, &mut |finding| panic!("{finding:?}"));
    let mut keys = Vec::new();
    let participant = Participant::new(file, 3);
    participant.op().visit_bucket(0, false, |key, _, _| keys.push(u64::from_le_bytes(key.try_into().expect("a torn key"))));
    assert_eq!(summary.entries, keys.len(), "a live slot whose entry is dead");
    keys
}

/// As [`check`], and the counts are right.
pub fn check_counts(file: &File) -> Vec<u64> {
    let keys = check(file);
    assert_eq!(file.count_entries(), keys.len(), "the counts have drifted");
    check_bound(file, keys.len());
    keys
}

/// The number of entries, where one is kept, is this.
pub fn check_bound(file: &File, entries: usize) {
    if file.layout.geometry.max_entries > 0 {
        let counted = file.memory.word(header::COUNT).load(Ordering::Acquire) as u32;
        assert_eq!(counted as usize, entries, "the number that the bound is for");
    }
}

/// After deaths: recovers the lines of the dead, then sweeps every segment until all are free: nothing is lost for ever.
pub fn check_nothing_is_lost(file: &File, dead: &[usize]) {
    for &line in dead {
        file.recover_line(line);
    }
    let sweeper = Participant::new(file, 2);
    file.clear();
    for segment in 0..file.layout.segments {
        for _ in 0..8 {
            if file.state(segment) != StateWord::FREE {
                sweeper.sweep(segment);
            }
        }
        assert_eq!(file.state(segment).phase(), Phase::Free, "segment {segment} is lost");
    }
    let summary = file.verify(&FACTS, &mut |finding| panic!("{finding:?}"));
    assert_eq!((summary.entries, summary.tentative), (0, 0), "a slot is lost");
}
