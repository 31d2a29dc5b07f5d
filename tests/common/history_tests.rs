//! Hand-made histories and small random ones, on which the decision is known.

use super::super::common::Rng;
use super::Evictions::{AnyTime, Never};
use super::Kind::*;
use super::*;

fn entry(number: u64) -> Entry {
    Entry { number, expires: false }
}

/// A call with its result: `number` is what it stores, `seen` what it saw.
fn call(times: (u64, u64), kind: Kind, number: u64, seen: Option<u64>, done: bool) -> Event {
    Event { kind, given: entry(number), seen, done, call: times.0, ret: times.1 }
}

fn set(times: (u64, u64), number: u64) -> Event {
    call(times, Set, number, None, false)
}

fn get(times: (u64, u64), seen: Option<u64>) -> Event {
    call(times, Get, 0, seen, false)
}

fn increment(times: (u64, u64), initial: u64, seen: u64) -> Event {
    call(times, Increment, initial, Some(seen), true)
}

/// Checks a history both ways.
#[track_caller]
fn judge(history: &[Vec<Event>], without_evictions: bool, with_evictions: bool) {
    let results = [check(history, Never).is_ok(), check(history, AnyTime).is_ok()];
    assert_eq!(results, [without_evictions, with_evictions], "{history:#?}");
}

#[test]
fn what_is_linearizable_is_accepted() {
    judge(&[], true, true);
    judge(&[vec![get((0, 1), None)]], true, true);
    // A get at the same time as a set sees either value.
    for seen in [1, 2] {
        judge(&[vec![set((0, 1), 1), set((2, 9), 2)], vec![get((3, 4), Some(seen))]], true, true);
    }
    // Two sets at once, in the order that the gets after them show.
    for seen in [1, 2] {
        judge(&[vec![set((0, 9), 1), get((10, 11), Some(seen))], vec![set((1, 8), 2)]], true, true);
    }
    // The call that began last comes first.
    judge(&[vec![get((0, 9), Some(1)), get((10, 11), Some(1))], vec![set((5, 12), 1)]], true, true);
    // Two increments at once.
    judge(&[vec![increment((0, 9), 0, 1)], vec![increment((1, 8), 2 << 20, 2)]], true, true);
    // A swap that lost against a set, and one that won.
    let lost = call((3, 9), Swap, 3, Some(1), false);
    judge(&[vec![set((0, 1), 1), lost], vec![set((4, 5), 2), get((10, 11), Some(2))]], true, true);
    let won = call((3, 9), Swap, 3, Some(1), true);
    judge(&[vec![set((0, 1), 1), won], vec![set((4, 5), 2), get((10, 11), Some(2))]], true, true);
    // An increment of what is no counter; a time to live that is kept by an update.
    let no_counter = call((2, 3), Increment, 0, None, false);
    judge(&[vec![set((0, 1), 1 << 20), no_counter, get((4, 5), Some(1 << 20))]], true, true);
    let mut touch = call((2, 3), Touch, 0, None, true);
    let mut look = call((6, 7), TimeToLive, 0, None, true);
    (touch.given.expires, look.given.expires) = (true, true);
    judge(&[vec![set((0, 1), 1), touch, call((4, 5), UpdateSet, 2, Some(1), true), look]], true, true);
}

#[test]
fn what_only_evictions_explain_is_refused_without_them() {
    judge(&[vec![set((0, 1), 1), get((2, 3), None)]], false, true);
    judge(&[vec![set((0, 1), 1), call((2, 3), Remove, 0, None, false)]], false, true);
    judge(&[vec![set((0, 1), 1), call((2, 3), Add, 2, None, true), get((4, 5), Some(2))]], false, true);
    judge(&[vec![increment((0, 1), 0, 1), increment((2, 3), 2 << 20, (2 << 20) + 1)]], false, true);
    judge(&[vec![set((0, 1), 1), call((2, 3), Swap, 2, Some(1), false)]], false, true);
}

#[test]
fn what_is_not_linearizable_is_refused() {
    let no = |history: &[Vec<Event>]| judge(history, false, false);
    // A stale read; a read of the future; of what nobody stored; new, then old.
    no(&[vec![set((0, 1), 1), set((2, 3), 2)], vec![get((4, 5), Some(1))]]);
    no(&[vec![get((0, 1), Some(1)), set((2, 3), 1)]]);
    no(&[vec![set((0, 1), 1), get((2, 3), Some(7))]]);
    no(&[vec![set((0, 1), 1), set((2, 9), 2)], vec![get((3, 4), Some(2)), get((5, 6), Some(1))]]);
    // Two readers that see two sets in different orders.
    let reader = |first, second| vec![get((10, 11), Some(first)), get((12, 13), Some(second))];
    no(&[vec![set((0, 20), 1)], vec![set((0, 20), 2)], reader(1, 2), reader(2, 1)]);
    // A lost increment.
    no(&[vec![increment((0, 9), 0, 1)], vec![increment((1, 8), 2 << 20, 1)], vec![get((10, 11), Some(1))]]);
    no(&[vec![set((0, 1), 0), increment((2, 9), 2 << 20, 1)], vec![increment((3, 8), 4 << 20, 1)]]);
    // A value that comes back after it was removed, replaced, cleared, evicted, or touched too late.
    no(&[vec![set((0, 1), 1), call((2, 3), Remove, 0, None, true), get((4, 5), Some(1))]]);
    no(&[vec![set((0, 1), 1), call((2, 3), Replace, 2, None, true), get((4, 5), Some(1))]]);
    no(&[vec![set((0, 1), 1), call((2, 3), Clear, 0, None, false), get((4, 5), Some(1))]]);
    no(&[vec![set((0, 1), 1), get((2, 3), None), get((4, 5), Some(1))]]);
    no(&[vec![set((0, 1), 1), get((2, 3), None), call((4, 5), Touch, 0, None, true)]]);
    // Two takes of one value; two adds that both won, where the first one's value is seen in the end.
    no(&[vec![set((0, 1), 1), call((2, 9), Take, 0, Some(1), true)], vec![call((3, 8), Take, 0, Some(1), true)]]);
    let adds = [call((0, 1), Add, 1, None, true), call((2, 3), Add, 2, None, true)];
    no(&[vec![adds[0], adds[1], get((4, 5), Some(1))]]);
    // Two swaps of one version; an update that saw what was no longer there.
    no(&[vec![set((0, 1), 1), call((2, 9), Swap, 2, Some(1), true)], vec![call((2, 9), Swap, 3, Some(1), true)]]);
    no(&[vec![set((0, 1), 1), set((2, 3), 2), call((4, 5), UpdateSet, 3, Some(1), true)]]);
    // A time to live that comes from nowhere.
    let mut look = call((2, 3), TimeToLive, 0, None, true);
    look.given.expires = true;
    no(&[vec![set((0, 1), 1), look]]);
}

/// Tries every order that agrees with real time, with evictions at every moment if they are allowed.
fn brute(clients: &[Vec<Event>], done: &mut Vec<usize>, state: State, evictions: Evictions) -> bool {
    let rest: Vec<(usize, Event)> =
        (0..clients.len()).filter_map(|client| Some((client, *clients[client].get(done[client])?))).collect();
    if rest.is_empty() {
        return true;
    }
    for &(client, event) in &rest {
        if rest.iter().any(|(_, other)| other.ret < event.call) {
            continue;
        }
        let mut befores = vec![state];
        if evictions == AnyTime && state.is_some() {
            befores.push(None);
        }
        for before in befores {
            let is_no_op = evictions == AnyTime
                && (event.kind == Touch && !event.done || event.kind == GetVersioned && event.seen.is_none());
            for after in [event.meets(before), is_no_op.then_some(before)].into_iter().flatten() {
                done[client] += 1;
                let is_good = brute(clients, done, after, evictions);
                done[client] -= 1;
                if is_good {
                    return true;
                }
            }
        }
    }
    false
}

/// The results of a few calls at random points of their intervals, one of them perhaps changed.
fn random(rng: &mut Rng, evicts: bool) -> Vec<Vec<Event>> {
    let mut calls: Vec<(u64, usize, Event)> = Vec::new();
    for client in 0..3 {
        let mut time = rng.below(4);
        for index in 0..3 {
            let (begin, point) = (time, time + rng.below(6));
            let end = point + rng.below(6);
            let kind = KINDS[rng.below(KINDS.len() as u64) as usize];
            let number = (client as u64 * 8 + index * 2 + rng.below(5) / 4) << 20;
            calls.push((point, client, call((begin, end), kind, number, None, false)));
            time = end + 1;
        }
    }
    calls.sort_by_key(|call| call.0);
    let mut state: State = None;
    let mut history = vec![Vec::new(); 3];
    for (_, client, mut event) in calls {
        state = state.filter(|_| !evicts || rng.below(4) > 0);
        // The results that the model accepts are found by trying those that there are.
        let numbers = [None, state.map(|entry| entry.number), state.map(|entry| entry.number + 1), Some(event.given.number + 1)];
        let tries = numbers.into_iter().flat_map(|seen| [(seen, false), (seen, true)]);
        let mut tried = tries.map(|(seen, done)| Event { seen, done, ..event });
        event = tried.find(|event| event.meets(state).is_some()).expect("each call has a result");
        state = event.meets(state).expect("just tried");
        if rng.below(12) == 0 {
            event.done ^= true;
        }
        if rng.below(12) == 0 {
            event.seen = Some(rng.below(24) << 20).filter(|_| rng.below(3) > 0);
        }
        history[client].push(event);
    }
    history
}

#[test]
fn the_search_finds_what_trying_all_orders_finds() {
    let mut rng = Rng::new(11);
    let mut accepted = [0; 2];
    const ROUNDS: u32 = 6000;
    for round in 0..ROUNDS {
        let history = random(&mut rng, round % 2 == 0);
        for (index, evictions) in [Never, AnyTime].into_iter().enumerate() {
            let is_good = check(&history, evictions).is_ok();
            assert_eq!(is_good, brute(&history, &mut vec![0; 3], None, evictions), "{evictions:?} {history:#?}");
            accepted[index] += u32::from(is_good);
        }
    }
    println!("{accepted:?} of {ROUNDS} accepted, without and with evictions");
    assert!(accepted.iter().all(|&count| count > ROUNDS / 10 && count < ROUNDS * 9 / 10), "{accepted:?}");
}

#[test]
fn events_are_read_as_they_were_written() {
    for (index, kind) in KINDS.into_iter().enumerate() {
        assert_eq!(kind as usize, index);
        let mut event = call((5, 9), kind, 77, Some(3).filter(|_| index % 2 == 0), index % 3 == 0);
        event.given.expires = index % 5 == 0;
        assert_eq!(Event::of_words(&event.words()), event);
    }
}
