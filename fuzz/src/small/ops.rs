//! The operations on a tiny cache, as inputs name them, and what came of them.

use std::sync::atomic::Ordering;

use super::{KEYS, Small};
use crate::coded;
use crate::layout::header;
use crate::ops::value_of;
use crate::protocol::{Change, Content, Decision, Facts, Key, Memory, Outcome, Probe, Word};

coded! {
    /// One operation. A time of 0 ms is for ever.
    pub enum SmallOp {
        Get { key: u8 },
        Peek { key: u8 },
        Set { key: u8, len: u8 },
        SetFor { key: u8, len: u8, ms: u8 },
        SetMany { first: u8, count: u8, len: u8 },
        GetMany { first: u8, count: u8 },
        Remove { key: u8 },
        Take { key: u8 },
        Touch { key: u8, ms: u8 },
        Add { key: u8, len: u8, ms: u8 },
        Replace { key: u8, len: u8, ms: u8 },
        GetVersioned { key: u8 },
        /// With one of the versions seen so far.
        CompareAndSwap { key: u8, version: u8, len: u8, ms: u8 },
        Increment { key: u8, delta: i8 },
        /// Stores another value with the time that the old one has.
        Update { key: u8, len: u8 },
        Visit,
        Clear,
        Verify,
        Count,
        Wait { ms: u8 },
        /// Recovers a line, as whoever finds its lock free does.
        Recover { line: u8 },
        /// Gives the line back.
        Leave,
        /// Empties everything, as the first one after a reboot does. Nobody else is there.
        Reboot,
    }
}

/// An entry as it is seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub value: Vec<u8>,
    pub expiry_ms: Option<u64>,
    pub version: Option<u64>,
}

/// What an operation saw of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It did not say.
    Unsaid,
    Nothing,
    /// There is one, of which no more is known.
    Something,
    /// Nothing but the value is known.
    Value(Vec<u8>),
    Entry(Entry),
}

/// What an operation came to for one key, or for all.
#[derive(Clone, Debug)]
pub struct Effect {
    /// None: all.
    pub key: Option<u8>,
    pub seen: Seen,
    /// What it stored.
    pub wrote: Option<Entry>,
    /// What was there before is gone.
    pub ends: bool,
    /// It changed what it saw, and nothing else.
    pub is_exchange: bool,
}

enum Plan {
    Keep,
    Remove,
    Store(Entry),
}

impl Effect {
    fn saw(key: u8, seen: Seen) -> Self {
        Self { key: Some(key % KEYS), seen, wrote: None, ends: false, is_exchange: false }
    }

    fn end_of_all() -> Self {
        Self { key: None, seen: Seen::Unsaid, wrote: None, ends: true, is_exchange: false }
    }
}

impl Small {
    /// A length of values: most are short, the last ones near the longest that there can be.
    fn len(&self, number: u8) -> usize {
        let most = self.core.layout.max_value_len;
        if number < 200 { usize::from(number).min(most) } else { most.saturating_sub(usize::from(255 - number)) }
    }

    fn new_entry(&self, len: u8, ms: u8) -> Entry {
        let expiry_ms = (ms > 0).then(|| self.now() + u64::from(ms));
        Entry { value: value_of(self.next_serial(), self.len(len)), expiry_ms, version: None }
    }

    fn next_version(&self) -> u64 {
        self.core.memory.word(header::STAMP_BLOCKS).fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// The entry of a key, by the shortest way first, as `Cache::get` goes.
    pub fn entry(&self, number: u8) -> Option<Entry> {
        self.get(0, number)
    }

    fn get(&self, hand: usize, number: u8) -> Option<Entry> {
        let bytes = self.key(number);
        let key = Key::new(&bytes, self.hash(&bytes));
        let (mut plain, mut value) = (Vec::new(), Vec::new());
        let short = self.core.get_plain(&key, self.core.layout.max_value_len, &mut plain);
        if short == crate::protocol::Plain::Found {
            return Some(Entry { value: plain, expiry_ms: None, version: None });
        }
        let probe = self.op(hand).get(&key, &mut value)?;
        Some(Entry { value, expiry_ms: probe.expiry_ms, version: probe.version })
    }

    fn peek(&self, hand: usize, number: u8) -> Effect {
        let bytes = self.key(number);
        let probe = self.op(hand).peek(&Key::new(&bytes, self.hash(&bytes)));
        Effect::saw(number, if probe.is_some() { Seen::Something } else { Seen::Nothing })
    }

    fn set(&self, hand: usize, number: u8, entry: Entry) -> Effect {
        let bytes = self.key(number);
        let content = Content { value: &entry.value, expiry_ms: entry.expiry_ms, version: None };
        let put = self.op(hand).set(&Key::new(&bytes, self.hash(&bytes)), &content);
        // The first variant of an enum that has no name here: stored. The other one is dropped.
        let wrote = (put as u8 == 0).then_some(entry);
        Effect { wrote, ends: true, ..Effect::saw(number, Seen::Unsaid) }
    }

    fn remove(&self, hand: usize, number: u8) -> Effect {
        let bytes = self.key(number);
        let was_there = self.op(hand).remove(&Key::new(&bytes, self.hash(&bytes)));
        let seen = if was_there { Seen::Something } else { Seen::Nothing };
        Effect { ends: true, ..Effect::saw(number, seen) }
    }

    fn modify(&self, hand: usize, number: u8, plan: impl Fn(Option<&Entry>) -> Plan) -> Effect {
        let bytes = self.key(number);
        let (mut seen, mut wrote) = (Seen::Unsaid, None);
        let decide = |present: Option<(&Probe, &mut Vec<u8>)>| {
            let old = present.map(|(probe, value)| Entry {
                value: std::mem::take(value),
                expiry_ms: probe.expiry_ms,
                version: probe.version,
            });
            let planned = plan(old.as_ref());
            seen = old.map_or(Seen::Nothing, Seen::Entry);
            wrote = None;
            match planned {
                Plan::Keep => Decision::Keep,
                Plan::Remove => Decision::Remove,
                Plan::Store(entry) => {
                    let (value, expiry_ms, version) = (entry.value.clone().into(), entry.expiry_ms, entry.version);
                    wrote = Some(entry);
                    Decision::Store(Change { value, expiry_ms, version })
                }
            }
        };
        let outcome = self.op(hand).modify(&Key::new(&bytes, self.hash(&bytes)), decide);
        let ends = matches!(outcome, Outcome::Removed | Outcome::Stored);
        Effect { wrote: wrote.filter(|_| ends), ends, is_exchange: ends, ..Effect::saw(number, seen) }
    }

    fn compare_and_swap(&self, hand: usize, key: u8, number: u8, entry: Entry) -> Option<Effect> {
        let version = {
            let versions = self.versions.borrow();
            *versions.get(usize::from(number).checked_rem(versions.len())?)?
        };
        let next = Entry { version: Some(self.next_version()), ..entry };
        Some(self.modify(hand, key, |old| match old {
            Some(old) if old.version == Some(version) => Plan::Store(next.clone()),
            _ => Plan::Keep,
        }))
    }

    fn get_versioned(&self, hand: usize, key: u8) -> Effect {
        let effect = self.modify(hand, key, |old| match old {
            Some(old) if old.version.is_none() => Plan::Store(Entry { version: Some(self.next_version()), ..old.clone() }),
            _ => Plan::Keep,
        });
        self.versions.borrow_mut().extend(effect.wrote.as_ref().and_then(|entry| entry.version));
        effect
    }

    fn increment(&self, hand: usize, key: u8, delta: i8) -> Effect {
        let initial = u64::from(self.next_serial()) << 20;
        let value = |number: u64| number.to_le_bytes()[..self.core.layout.max_value_len.min(8)].to_vec();
        self.modify(hand, key, |old| match old {
            None => Plan::Store(Entry { value: value(initial), expiry_ms: None, version: None }),
            Some(old) => match <[u8; 8]>::try_from(&old.value[..]) {
                // Never by nothing, so that it becomes another value.
                Ok(bytes) => {
                    let sum = u64::from_le_bytes(bytes).wrapping_add_signed(i64::from(delta) | 1);
                    Plan::Store(Entry { value: value(sum), version: old.version.map(|_| self.next_version()), ..*old })
                }
                Err(_) => Plan::Keep,
            },
        })
    }

    fn visit(&self, hand: usize) -> Vec<Effect> {
        let mut effects = Vec::new();
        let most = (self.core.layout.max_key_len, self.core.layout.max_value_len);
        let op = self.op(hand);
        for bucket in 0..self.core.layout.buckets {
            op.visit_bucket(bucket, true, |key, value, _| {
                assert!(key.len() <= most.0 && value.len() <= most.1);
                let number = key.first().copied().unwrap_or(0);
                if self.key(number) == key {
                    effects.push(Effect::saw(number, Seen::Value(value)));
                }
            });
        }
        effects
    }

    /// Does one operation as one of the hands.
    pub fn perform(&self, hand: usize, op: &SmallOp) -> Vec<Effect> {
        let see = |key: u8| Effect::saw(key, self.get(hand, key).map_or(Seen::Nothing, Seen::Entry));
        let several = |first: u8, count: u8| (0..count % 8).map(move |more| first % KEYS + more);
        vec![match *op {
            SmallOp::Get { key } => see(key),
            SmallOp::Peek { key } => self.peek(hand, key),
            SmallOp::Set { key, len } => self.set(hand, key, self.new_entry(len, 0)),
            SmallOp::SetFor { key, len, ms } => self.set(hand, key, self.new_entry(len, ms)),
            SmallOp::SetMany { first, count, len } => {
                return several(first, count).map(|key| self.set(hand, key, self.new_entry(len, 0))).collect();
            }
            SmallOp::GetMany { first, count } => return several(first, count).map(see).collect(),
            SmallOp::Remove { key } => self.remove(hand, key),
            SmallOp::Take { key } => self.modify(hand, key, |_| Plan::Remove),
            SmallOp::Touch { key, ms } => {
                let expiry_ms = (ms > 0).then(|| self.now() + u64::from(ms));
                self.modify(hand, key, |old| match old {
                    Some(old) if old.expiry_ms != expiry_ms => Plan::Store(Entry { expiry_ms, ..old.clone() }),
                    _ => Plan::Keep,
                })
            }
            SmallOp::Add { key, len, ms } | SmallOp::Replace { key, len, ms } => {
                let wants_old = matches!(op, SmallOp::Replace { .. });
                let entry = self.new_entry(len, ms);
                let decide = |old: Option<&Entry>| old.is_some() == wants_old;
                self.modify(hand, key, |old| if decide(old) { Plan::Store(entry.clone()) } else { Plan::Keep })
            }
            SmallOp::GetVersioned { key } => self.get_versioned(hand, key),
            SmallOp::CompareAndSwap { key, version, len, ms } => {
                return self.compare_and_swap(hand, key, version, self.new_entry(len, ms)).into_iter().collect();
            }
            SmallOp::Increment { key, delta } => self.increment(hand, key, delta),
            SmallOp::Update { key, len } => {
                let entry = self.new_entry(len, 0);
                self.modify(hand, key, |old| {
                    let expiry_ms = old.and_then(|old| old.expiry_ms);
                    Plan::Store(Entry { expiry_ms, ..entry.clone() })
                })
            }
            SmallOp::Visit => return self.visit(hand),
            SmallOp::Clear => {
                self.core.clear();
                Effect::end_of_all()
            }
            SmallOp::Reboot => {
                [0, 1].into_iter().for_each(|hand| self.bury(hand));
                self.core.start_empty();
                Effect::end_of_all()
            }
            _ => {
                self.look_after(hand, op);
                return Vec::new();
            }
        }]
    }

    /// The operations that are not about entries.
    fn look_after(&self, hand: usize, op: &SmallOp) {
        match *op {
            SmallOp::Count => {
                let (_, _) = (self.core.count_entries(), self.core.counters());
                self.core.census();
                if self.hands[hand].owner.get().is_some() {
                    self.core.recount(None);
                }
            }
            SmallOp::Verify => {
                self.core.verify(&Facts { hash: &|key| self.hash(key), latest_expiry_ms: &|| u64::MAX }, &mut |_| true);
            }
            SmallOp::Wait { ms } => self.now.set(self.now.get() + u64::from(ms)),
            SmallOp::Recover { line } => {
                let line = usize::from(line) % self.core.layout.lines;
                let is_alive = |hand: &super::Hand| hand.owner.get().is_some_and(|owner| usize::from(owner.line) == line);
                if !self.hands.iter().any(is_alive) {
                    self.core.recover_line(line);
                }
            }
            SmallOp::Leave => self.hands[hand].owner.take().into_iter().for_each(|owner| self.core.leave_line(owner)),
            _ => {}
        }
    }
}
