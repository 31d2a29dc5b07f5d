//! A file that was spoilt before anybody attached: a typed error, or a cache all of whose operations come to an end.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use shmemo_fuzz::code::{Coded, take_all};
use shmemo_fuzz::edit::Edit;
use shmemo_fuzz::ops::{Course, Op};
use shmemo_fuzz::rig;

const MOST_EDITS: usize = 64;
const MOST_OPS: usize = 64;

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let (Ok(kind), Ok(ops)) = (u8::take(&mut input), u8::take(&mut input)) else { return };
    let ops: Vec<Op> = take_all(&mut input, usize::from(ops) % MOST_OPS);
    let edits: Vec<Edit> = take_all(&mut input, MOST_EDITS);
    rig::with(kind, true, |rig| {
        edits.iter().for_each(|edit| edit.make(rig, false));
        match rig.attach() {
            Ok(cache) => {
                let mut course = Course::default();
                ops.iter().for_each(|op| course.apply(&cache, op, &mut || {}));
                course.apply_all(&cache);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
});
