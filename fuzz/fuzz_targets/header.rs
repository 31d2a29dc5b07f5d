//! Whatever bytes stand in the header: a typed error, or a cache that can be used.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use shmemo::OpenError;
use shmemo_fuzz::code::Coded;
use shmemo_fuzz::ops::Course;
use shmemo_fuzz::rig;

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let (Ok(how), Ok(word)) = (u8::take(&mut input), u16::take(&mut input)) else { return };
    let (is_fixed, kind) = (how & 1 != 0, how >> 1);
    rig::with(kind, true, |rig| {
        let mut header = rig.header().to_vec();
        let at = usize::from(word) * 8 % header.len();
        let bytes = input.take_rest();
        let len = bytes.len().min(header.len() - at);
        header[at..][..len].copy_from_slice(&bytes[..len]);
        if is_fixed {
            rig::fix_checksum(&mut header);
        }
        rig.write(0, &header);
        match rig.attach() {
            Ok(cache) => Course::default().apply_all(&cache),
            Err(error) => {
                let is_about_the_header = matches!(
                    error,
                    OpenError::NotAShmemoFile { .. }
                        | OpenError::VersionMismatch { .. }
                        | OpenError::LayoutMismatch { .. }
                        | OpenError::HashMismatch { .. }
                        | OpenError::CorruptHeader { .. }
                        | OpenError::Truncated { .. }
                );
                assert!(is_about_the_header && !error.to_string().is_empty(), "{error}");
            }
        }
    });
});
