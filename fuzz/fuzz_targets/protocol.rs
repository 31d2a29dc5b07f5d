//! The protocol itself on tiny caches: beside a map, with deaths and with operations at once; or on bytes that are spoilt
//! at any moment.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use shmemo_fuzz::code::{Coded, take_all};
use shmemo_fuzz::small::course::{Course, Step};
use shmemo_fuzz::small::{Kind, Small};

const MOST_STEPS: usize = 16;

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let (Ok(sizes), Ok(rest)) = (u8::take(&mut input), u8::take(&mut input)) else { return };
    let steps: Vec<Step> = take_all(&mut input, MOST_STEPS);
    let (small, image) = Small::new(Kind::new(sizes, rest));
    let mut course = Course::new(small, &image, rest & 0x80 != 0);
    steps.iter().for_each(|step| course.take(step));
    course.finish();
});
