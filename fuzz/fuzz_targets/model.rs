//! The cache gives what a map would give, or a miss where that may be.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use shmemo_fuzz::code::{Coded, take_all};
use shmemo_fuzz::model::Model;
use shmemo_fuzz::ops::Op;
use shmemo_fuzz::rig;

const MOST_OPS: usize = 200;

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let Ok(how) = u8::take(&mut input) else { return };
    let ops: Vec<Op> = take_all(&mut input, MOST_OPS);
    rig::with(how, false, |rig| {
        let mut model = Model::new(rig, how, how & 0x80 == 0);
        ops.iter().for_each(|op| model.apply(op));
        model.finish();
    });
});
