//! A file that is spoilt while it is used, between operations and in the midst of those that run user code.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use shmemo_fuzz::code::{Coded, take_all};
use shmemo_fuzz::coded;
use shmemo_fuzz::edit::Edit;
use shmemo_fuzz::ops::{Course, Op};
use shmemo_fuzz::rig;

const MOST_STEPS: usize = 64;

coded! {
    /// What is done next.
    pub enum Step {
        Use { op: Op },
        Spoil { edit: Edit },
        /// The edit is made when the operation calls user code, if it does so.
        Both { op: Op, edit: Edit },
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let Ok(how) = u8::take(&mut input) else { return };
    let steps: Vec<Step> = take_all(&mut input, MOST_STEPS);
    rig::with(how, how & 0x80 == 0, |rig| {
        let mut caches = [rig.attach().expect("attach to a sound file"), rig.attach().expect("attach once more")];
        let mut course = Course::default();
        for step in &steps {
            let (op, edit) = match step {
                Step::Use { op } => (op, None),
                Step::Spoil { edit } => {
                    edit.make(rig, true);
                    continue;
                }
                Step::Both { op, edit } => (op, Some(edit)),
            };
            match op {
                Op::Switch => caches.swap(0, 1),
                // Only the header can stand in the way.
                Op::Reattach => match rig.attach() {
                    Ok(cache) => caches[0] = cache,
                    Err(error) => assert!(!error.to_string().is_empty()),
                },
                op => course.apply(&caches[0], op, &mut || edit.into_iter().for_each(|edit| edit.make(rig, true))),
            }
        }
        course.apply_all(&caches[0]);
    });
});
