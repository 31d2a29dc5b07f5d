//! Inputs about tiny caches to begin with.

use super::course::Step;
use super::ops::SmallOp as Op;
use crate::code::Coded;
use crate::edit::Edit;

/// Bytes of inputs are cut off here: longer ones are rarely worth their time.
const MOST_BYTES: usize = 126;
/// Geometries: of each number at least two, in each combination of "all keys collide" and "full".
const KINDS: [[u8; 2]; 6] = [[0x00, 0x40], [0x0b, 0x43], [0x92, 0x44], [0x41, 0x02], [0xe4, 0x56], [0x6c, 0x2d]];

/// Operations of each sort.
fn ops() -> Vec<Op> {
    let key = |number: u8| number * 7;
    let mut ops = Vec::new();
    for round in 0..6u8 {
        ops.extend([
            Op::SetMany { first: round * 5, count: 7, len: round * 31 },
            Op::Set { key: key(round), len: 200 + round * 9 },
            Op::GetVersioned { key: key(round) },
            Op::CompareAndSwap { key: key(round), version: 0, len: 20, ms: round },
            Op::Update { key: key(round + 1), len: 30 },
            Op::Increment { key: 2, delta: 1 },
            Op::Take { key: key(round + 2) },
            Op::Touch { key: key(round), ms: round * 3 },
            Op::GetMany { first: round, count: 7 },
            Op::Add { key: key(round + 3), len: 9, ms: 0 },
            Op::Replace { key: key(round + 3), len: 90, ms: 4 },
            Op::SetFor { key: key(round), len: 12, ms: 5 },
            Op::Remove { key: key(round + 4) },
            [Op::Visit, Op::Clear, Op::Count, Op::Wait { ms: 3 }, Op::Leave, Op::Reboot][usize::from(round)].clone(),
        ]);
    }
    ops
}

fn input(kind: [u8; 2], is_rotten: bool, steps: impl IntoIterator<Item = Step>) -> Vec<u8> {
    let mut bytes = vec![kind[0], kind[1] | u8::from(is_rotten) << 7];
    steps.into_iter().for_each(|step| step.put(&mut bytes));
    bytes.truncate(MOST_BYTES);
    bytes
}

/// All of them: names and bytes. `spoilers` are ways to spoil a file.
pub fn all(spoilers: &[(&'static str, Vec<Edit>)]) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let ops = ops();
    for (at, &kind) in KINDS.iter().enumerate() {
        let some = || ops.iter().skip(at * 13).take(16).cloned();
        let after = |number: usize| (number * 23 % 160) as u8;
        let in_turn = some().enumerate().map(|(number, op)| if number % 3 == 0 { Step::Other { op } } else { Step::Use { op } });
        seeds.push((format!("in_turn-{at}"), input(kind, false, in_turn)));
        let deaths = some().enumerate().map(|(number, op)| Step::Die { after: after(number), op });
        seeds.push((format!("deaths-{at}"), input(kind, false, deaths)));
        let both = some().zip(some().skip(1)).enumerate();
        let both = both.map(|(number, (op, other))| Step::Both { after: after(number), op, other });
        seeds.push((format!("both-{at}"), input(kind, false, both)));
    }
    for (at, (name, edits)) in spoilers.iter().enumerate() {
        let edits = edits.iter().cloned().zip(ops.iter().skip(at).step_by(3).cloned());
        let steps = edits.enumerate().map(|(number, (edit, op))| match number % 2 {
            0 => Step::Spoil { edit },
            _ => Step::Amid { after: (number * 9) as u8, op, edit },
        });
        seeds.push((format!("spoilt-{name}"), input(KINDS[at % KINDS.len()], true, steps)));
    }
    seeds
}
