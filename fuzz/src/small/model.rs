//! What a tiny cache may hold, and what may therefore be seen of it.

use std::rc::Rc;

use super::ops::{Effect, Entry, Seen};
use super::{Image, KEYS, Small};
use crate::protocol::{Event, Facts, Phase};

/// What each key may be found to have, but for nothing, which it may always have. More than one thing only after a
/// death, or after two operations at once.
pub type Entries = [Vec<Entry>; KEYS as usize];

/// A sound cache and what it may hold.
pub struct Model {
    image: Rc<Image>,
    /// None: what the image has.
    entries: [Option<Vec<Entry>>; KEYS as usize],
    /// Nobody has died and no two operations were at once, so that every loss is accounted for.
    is_exact: bool,
    lost: u64,
}

fn is_dead(entry: &Entry, small: &Small) -> bool {
    entry.expiry_ms.is_some_and(|at| at <= small.now())
}

/// Whether an entry may be what was seen.
fn is_as_seen(entry: &Entry, seen: &Seen) -> bool {
    match seen {
        Seen::Something => true,
        Seen::Value(value) => entry.value == *value,
        Seen::Entry(whole) => entry == whole,
        Seen::Unsaid | Seen::Nothing => false,
    }
}

impl Model {
    /// Begins with what there is.
    pub fn new(image: Rc<Image>) -> Self {
        Self { image, entries: Default::default(), is_exact: true, lost: 0 }
    }

    fn possible(&mut self, key: u8) -> &mut Vec<Entry> {
        let key = usize::from(key);
        self.entries[key].get_or_insert_with(|| self.image.entries[key].clone())
    }

    fn end(&mut self, effect: &Effect) {
        match effect.key {
            Some(key) => self.entries[usize::from(key)] = Some(Vec::new()),
            None => self.entries.fill(Some(Vec::new())),
        }
    }

    fn store(&mut self, effect: &Effect) {
        if let (Some(key), Some(entry)) = (effect.key, &effect.wrote) {
            self.possible(key).push(entry.clone());
        }
    }

    /// What was seen of a key must be what it may have. From then on it has that.
    fn judge(&mut self, small: &Small, effect: &Effect) {
        let Some(key) = effect.key else { return };
        let possible = self.possible(key);
        possible.retain(|entry| !is_dead(entry, small));
        match &effect.seen {
            Seen::Unsaid => {}
            Seen::Nothing => {
                let is_lost = !possible.is_empty();
                possible.clear(); // evicted: it must not come back
                self.lost += u64::from(is_lost);
                let evicted = [Event::EvictedUnused, Event::EvictedUsed, Event::EvictedByFullBucket];
                let evicted: u64 = evicted.into_iter().map(|event| small.counted(event)).sum();
                assert!(!self.is_exact || self.lost <= evicted, "key {key} was lost, not evicted");
            }
            seen => {
                possible.retain(|entry| is_as_seen(entry, seen));
                assert!(!possible.is_empty(), "key {key} cannot have {seen:?}");
            }
        }
    }

    /// One after another.
    pub fn follow(&mut self, small: &Small, effects: &[Effect]) {
        for effect in effects {
            self.judge(small, effect);
            if effect.ends {
                self.end(effect);
            }
            self.store(effect);
        }
    }

    /// Two at once: each may have seen what the other wrote, and either may have been the last.
    pub fn follow_both(&mut self, small: &Small, first: &[Effect], second: &[Effect]) {
        self.is_exact = false;
        for (effects, others) in [(first, second), (second, first)] {
            for (at, effect) in effects.iter().enumerate() {
                let Some(key) = effect.key.filter(|_| !matches!(effect.seen, Seen::Unsaid | Seen::Nothing)) else { continue };
                let earlier = others.iter().chain(&effects[..at]).filter(|other| other.key == Some(key));
                let wrote = earlier.filter_map(|other| other.wrote.as_ref());
                let mut possible = self.possible(key).iter().chain(wrote).filter(|entry| !is_dead(entry, small));
                assert!(possible.any(|entry| is_as_seen(entry, &effect.seen)), "key {key} cannot have {:?}", effect.seen);
                if let Seen::Entry(entry) = &effect.seen
                    && entry.value.len() >= 8
                {
                    let is_twin = |other: &&Effect| other.is_exchange && other.key == Some(key) && other.seen == effect.seen;
                    assert!(!effect.is_exchange || !others.iter().any(|other| is_twin(&other)), "an update of {key} was lost");
                }
            }
        }
        let both = || first.iter().chain(second);
        both().filter(|effect| effect.ends).for_each(|effect| self.end(effect));
        both().for_each(|effect| self.store(effect));
    }

    /// These were done, or not, or some of them: whoever did them died.
    pub fn follow_dead(&mut self, effects: &[Effect]) {
        self.is_exact = false;
        effects.iter().for_each(|effect| self.store(effect));
    }

    /// Nothing is under way, and nothing is wrong.
    pub fn check(&self, small: &Small) {
        let core = &small.core;
        let summary = core.verify(&Facts { hash: &|key| small.hash(key), latest_expiry_ms: &|| u64::MAX }, &mut |finding| {
            panic!("{finding:?}")
        });
        if self.is_exact {
            assert_eq!((summary.tentative, summary.count_drift), (0, 0));
            let most = core.layout.geometry.max_entries;
            assert!(most == 0 || core.count_entries() as u64 <= most);
        }
    }

    /// The end: everybody is there, everybody's death has been noticed.
    pub fn finish(mut self, small: &Small) {
        for hand in [0, 1] {
            let effects = small.perform(hand, &super::SmallOp::Peek { key: hand as u8 });
            self.follow(small, &effects);
        }
        self.check(small);
        for segment in 0..small.core.layout.segments {
            let phase = small.core.state(segment).phase();
            assert!(!matches!(phase, Phase::Claimed | Phase::Sweeping | Phase::Rotten), "segment {segment} is {phase:?}");
        }
        let effects = small.perform(0, &super::SmallOp::Visit);
        self.follow(small, &effects);
    }
}
