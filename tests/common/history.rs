//! Histories of operations on one key, and whether they are linearizable.
//!
//! The question is answered as Wing and Gong do ("Testing and verifying concurrent objects", JPDC 17, 1993): look for
//! an order of all operations that agrees with real time and in which each gives what a sequential model gives. As in
//! Lowe's "Testing for linearizability" (CCPE 29(4), 2017) no configuration, which is what has been put in order so far
//! and the state of the model, is looked at twice. Operations on different keys are independent, and linearizability is
//! local (Herlihy and Wing, TOPLAS 12(3), 1990), so each key has a history of its own.
//!
//! Where evictions are allowed the entry may vanish between any two operations. What a state allows, an eviction before
//! it aside, it still allows if the eviction comes later; so an entry vanishes only where the model cannot go on
//! otherwise, and the search branches no more than without evictions.

use std::collections::HashSet;

/// An entry of the model. Every write stores a number that no other write stores, so a number names a version too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub number: u64,
    pub expires: bool,
}

/// What a key has in the model.
pub type State = Option<Entry>;

/// How much every increment adds.
pub const DELTA: u64 = 1;

/// Whether a value is a counter. Sums are counters as what they began with.
pub fn is_counter(number: u64) -> bool {
    (number >> 20).is_multiple_of(2)
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// Saw `seen`.
    Get,
    /// Saw `seen`, or could not stamp it.
    GetVersioned,
    /// Was there: `done`.
    Contains,
    /// Was there: `done`; if so, `given.expires` or not.
    TimeToLive,
    /// Stored `given`, as all below that store.
    Set,
    Clear,
    /// Was there: `done`.
    Remove,
    /// Saw `seen` and removed it.
    Take,
    /// Stored: `done`.
    Add,
    /// Stored: `done`.
    Replace,
    /// Stored in place of `seen`: `done`.
    Swap,
    /// Was there: `done`; expires from now on or not as `given` says.
    Touch,
    /// Gave `seen`, or found no counter. Began with `given`, unless there was one.
    Increment,
    /// An update that saw `seen` and kept, stored, stored with a time to live of its own, removed.
    UpdateKeep,
    UpdateSet,
    UpdateSetWithTtl,
    UpdateRemove,
    /// Any conditional operation that changed nothing for want of room.
    Busy,
}

const KINDS: [Kind; 18] = [
    Kind::Get,
    Kind::GetVersioned,
    Kind::Contains,
    Kind::TimeToLive,
    Kind::Set,
    Kind::Clear,
    Kind::Remove,
    Kind::Take,
    Kind::Add,
    Kind::Replace,
    Kind::Swap,
    Kind::Touch,
    Kind::Increment,
    Kind::UpdateKeep,
    Kind::UpdateSet,
    Kind::UpdateSetWithTtl,
    Kind::UpdateRemove,
    Kind::Busy,
];

/// One call: what was asked, what came of it, and when it began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: Kind,
    pub given: Entry,
    pub seen: Option<u64>,
    pub done: bool,
    pub call: u64,
    pub ret: u64,
}

/// Words of an event in a file.
pub const WORDS: usize = 7;

impl Event {
    pub fn words(&self) -> [u64; WORDS] {
        let flags = u64::from(self.given.expires) | u64::from(self.done) << 1 | u64::from(self.seen.is_some()) << 2;
        [self.kind as u64, flags, self.given.number, self.seen.unwrap_or(0), self.call, self.ret, !self.call]
    }

    pub fn of_words(words: &[u64; WORDS]) -> Self {
        assert_eq!(words[6], !words[4], "a record of an event");
        Self {
            kind: KINDS[words[0] as usize],
            given: Entry { number: words[2], expires: words[1] & 1 != 0 },
            seen: (words[1] & 4 != 0).then_some(words[3]),
            done: words[1] & 2 != 0,
            call: words[4],
            ret: words[5],
        }
    }

    /// The state that this call leaves, if it can give what it gave when it meets `state`. The sequential model.
    fn meets(&self, state: State) -> Option<State> {
        let given = Some(self.given);
        let number = state.map(|entry| entry.number);
        let (saw_it, is_told) = (self.seen == number, self.done == state.is_some());
        let (possible, after) = match self.kind {
            Kind::Get | Kind::GetVersioned | Kind::UpdateKeep => (saw_it, state),
            Kind::Contains => (is_told, state),
            Kind::TimeToLive => (is_told && state.is_none_or(|entry| entry.expires == self.given.expires), state),
            Kind::Set => (true, given),
            Kind::Clear => (true, None),
            Kind::Remove => (is_told, None),
            Kind::Take | Kind::UpdateRemove => (saw_it, None),
            Kind::Add => (self.done != state.is_some(), if self.done { given } else { state }),
            Kind::Replace => (is_told, if self.done { given } else { state }),
            Kind::Swap => (self.done == (number.is_some() && saw_it), if self.done { given } else { state }),
            Kind::Touch => (is_told, state.map(|entry| Entry { expires: self.given.expires, ..entry })),
            Kind::Increment => match state {
                Some(entry) if !is_counter(entry.number) => (self.seen.is_none(), state),
                _ => {
                    let from = state.unwrap_or(self.given);
                    let sum = Entry { number: from.number + DELTA, ..from };
                    (self.seen == Some(sum.number), Some(sum))
                }
            },
            Kind::UpdateSet => {
                let expires = state.map_or(self.given.expires, |entry| entry.expires);
                (saw_it, Some(Entry { expires, ..self.given }))
            }
            Kind::UpdateSetWithTtl => (saw_it, given),
            Kind::Busy => (true, state),
        };
        possible.then_some(after)
    }

    /// The same where entries may vanish and there may be no room.
    fn meets_or_vanishes(&self, state: State) -> Option<State> {
        let wants_room = match self.kind {
            Kind::Touch => !self.done,
            Kind::GetVersioned => self.seen.is_none(),
            _ => false,
        };
        if wants_room { Some(state) } else { self.meets(state).or_else(|| self.meets(None)) }
    }
}

/// What may happen to entries besides the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evictions {
    Never,
    AnyTime,
}

/// Whether a history is linearizable: the calls of each client on one key, which has no value at first, in their order.
/// If not, what comes after the longest part that could be put in order.
pub fn check(clients: &[Vec<Event>], evictions: Evictions) -> Result<(), String> {
    let mut done = vec![0u32; clients.len()];
    let next = |done: &[u32], client: usize| clients[client].get(done[client] as usize);
    let total: usize = clients.iter().map(Vec::len).sum();
    let mut known: HashSet<(Vec<u32>, State)> = HashSet::new();
    // Where the search stands: the state, the client to be tried next, and the one whose call led here.
    let mut path: Vec<(State, usize, usize)> = vec![(None, 0, usize::MAX)];
    let mut best = (1, done.clone(), None);
    while let Some((state, from, by)) = path.last_mut() {
        let (state, by) = (*state, *by);
        // A call can be the next only if no other had ended before it began.
        let horizon = (0..clients.len()).filter_map(|client| next(&done, client)).map(|event| event.ret).min();
        let Some(horizon) = horizon else { return Ok(()) };
        let candidate = (*from..clients.len()).find_map(|client| {
            let event = next(&done, client).filter(|event| event.call <= horizon)?;
            let after = match evictions {
                Evictions::Never => event.meets(state),
                Evictions::AnyTime => event.meets_or_vanishes(state),
            };
            Some((client, after?))
        });
        match candidate {
            Some((client, after)) => {
                *from = client + 1;
                done[client] += 1;
                if known.insert((done.clone(), after)) {
                    path.push((after, 0, client));
                    if path.len() > best.0 {
                        best = (path.len(), done.clone(), after);
                    }
                } else {
                    done[client] -= 1;
                }
            }
            None => {
                path.pop();
                if by != usize::MAX {
                    done[by] -= 1;
                }
            }
        }
    }
    let mut text = format!("{} of {total} calls can be put in order, up to {:?}. Then:", best.0 - 1, best.2);
    for (client, events) in clients.iter().enumerate() {
        let from = best.1[client] as usize;
        for (index, event) in events.iter().enumerate().skip(from.saturating_sub(2)).take(5) {
            let mark = if index < from { "  done" } else { "" };
            text += &format!("\n  client {client}, call {index}: {event:?}{mark}");
        }
    }
    Err(text)
}

/// How many calls ran at the same time as one of another client.
pub fn overlapping(clients: &[Vec<Event>]) -> usize {
    let meets_another = |mine: usize, event: &Event| {
        clients.iter().enumerate().any(|(client, events)| {
            let first = events.partition_point(|other| other.ret < event.call);
            client != mine && events.get(first).is_some_and(|other| other.call <= event.ret)
        })
    };
    clients.iter().enumerate().map(|(mine, events)| events.iter().filter(|event| meets_another(mine, event)).count()).sum()
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
