//! Operations whose new value depends on the old one: one private copy in, one exchange out, under a pin (R5).

use std::borrow::Cow;

use super::{Content, Event, Found, Insert, Key, Memory, Op, Probe, SlotWord};

/// What an entry is to become.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// The value.
    pub value: Cow<'a, [u8]>,
    /// When it expires.
    pub expiry_ms: Option<u64>,
    /// Its version stamp.
    pub version: Option<u64>,
}

/// What is to be done with a key, seeing what is there.
#[derive(Clone, Debug)]
pub enum Decision<'a> {
    /// Nothing.
    Keep,
    /// Take it away.
    Remove,
    /// Store this.
    Store(Change<'a>),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was to be done.
    Kept,
    /// The key is gone.
    Removed,
    /// The new entry stands.
    Stored,
    /// Nothing was changed: there was no room, or others changed the key all the time.
    Busy,
}

/// How often a decision is made anew.
const ATTEMPTS: u32 = 10_000;
/// How often, if there is no hazard word to be had. Each time that was waited for already.
const ATTEMPTS_WITHOUT_PIN: u32 = 100;

impl<M: Memory> Op<'_, M> {
    /// Looks, decides, and acts if nothing has changed meanwhile; else looks again. `decide` gets the entry, if there
    /// is one that counts, and its value; it runs before anything is claimed and maybe more than once. Linearizable at
    /// the exchange, or, if nothing is to be done, at the look.
    pub fn modify<'d>(&self, key: &Key<'_>, mut decide: impl FnMut(Option<(&Probe, &mut Vec<u8>)>) -> Decision<'d>) -> Outcome {
        let mut value = Vec::new();
        let (mut appended_units, mut effort) = (0, 0);
        let mut outcome = Outcome::Busy;
        for attempt in 0..ATTEMPTS {
            let found = self.find_with_value(key, &mut value);
            self.forget_time(); // those before may have taken long
            let present = match found {
                Found::Yes(probe) => Some(probe).filter(|probe| !self.is_dead(probe)),
                Found::No => None,
                Found::GaveUp => break,
            };
            let decision = decide(present.as_ref().map(|probe| (probe, &mut value)));
            // To decide may have forked, too: a child goes on under its own name.
            let owner = self.owner.and_then(|owner| self.world.still(owner));
            if owner != self.owner {
                let here = Op { owner, ..self.copy() };
                return if owner.is_some() { here.modify(key, decide) } else { Outcome::Busy };
            }
            // To decide may take long: others may have seen the entry expire.
            self.forget_time();
            if present.is_some_and(|probe| self.is_expired(probe.expiry_ms)) && !matches!(decision, Decision::Keep) {
                continue;
            }
            let done = match (&decision, present) {
                (Decision::Keep, Some(_)) => Some(Outcome::Kept),
                (Decision::Keep | Decision::Remove, None) => self.is_absent(&found).then_some(Outcome::Kept),
                (Decision::Remove, Some(probe)) => self.remove_exactly(&probe).then_some(Outcome::Removed),
                (Decision::Store(change), _) => {
                    let content = Content { value: &change.value, expiry_ms: change.expiry_ms, version: change.version };
                    appended_units = content.units(key.bytes.len());
                    self.store_exactly(key, found, &content, &mut effort)
                }
            };
            if let Some(done) = done {
                outcome = done;
                break;
            }
            if attempt >= ATTEMPTS_WITHOUT_PIN && self.lacks_pins() {
                break;
            }
            self.pause_at_random(attempt);
        }
        if appended_units > 0 {
            self.sweep_a_little(appended_units);
        }
        outcome
    }

    /// Whether a key that was found without an entry that counts may be said to be absent.
    fn is_absent(&self, found: &Found) -> bool {
        match found {
            Found::Yes(probe) => self.let_go(probe),
            _ => true,
        }
    }

    fn remove_exactly(&self, probe: &Probe) -> bool {
        let counting = self.counting();
        let Some((pin, now)) = self.pin(probe) else { return false };
        let done = self.core.swap_slot(probe.slot_at, now, SlotWord::EMPTY);
        drop(pin);
        if done {
            self.count_out(probe);
            self.count(Event::Removed);
        }
        drop(counting);
        done
    }

    /// Stores an entry if the key is as it was found. `None`: it is not any more.
    fn store_exactly(&self, key: &Key<'_>, found: Found, content: &Content<'_>, effort: &mut u32) -> Option<Outcome> {
        let counting = self.counting();
        let units = content.units(key.bytes.len());
        let plan = self.plan(key, &found, units);
        if plan.is_one_more && !self.reserve_one() {
            return Some(Outcome::Busy);
        }
        let Some(mut claim) = self.room(plan.log, units, effort) else {
            if plan.is_one_more {
                self.return_entry();
            }
            return Some(Outcome::Busy);
        };
        let appended = self.core.append(&mut claim, key, content, self.era, plan.freq);
        let published = match found {
            Found::Yes(probe) => self.replace(&probe, appended.word, plan.is_one_more),
            _ => match self.insert(key, appended.word) {
                Insert::Done(slot_at) => {
                    self.after_store(slot_at);
                    true
                }
                Insert::Present | Insert::Kicked => false,
            },
        };
        if plan.is_one_more && !published {
            self.return_entry();
        }
        self.finish(claim, &appended, published);
        drop(counting);
        published.then_some(Outcome::Stored)
    }
}
