//! `verify` names what is wrong with the parts of the header that only those know who use a file; `src/protocol/tests` has the rest.

mod common;

use std::os::unix::fs::FileExt;
use std::time::Duration;

use common::Scratch;
use common::refusal::{made, patch, small};
use shmemo::Cache;

/// Where the base of the clock stands (`docs/design.md`, section 2).
const CLOCK_BASE: u64 = 0x180;

fn found(cache: &Cache) -> String {
    cache.verify().expect_err("something is wrong").to_string()
}

#[test]
fn the_part_of_the_header_that_never_changes() {
    let scratch = Scratch::new();
    let path = made(&scratch);
    let cache = small().open(&path).expect("the cache");
    for at in (0..152).step_by(8) {
        let file = std::fs::File::open(&path).expect("the file");
        let mut before = [0; 8];
        file.read_exact_at(&mut before, at).expect("a word");
        patch(&path, at, &before.map(|byte| byte ^ 0x10));
        assert!(found(&cache).contains("the header is not what it was"), "word at {at}");
        assert!(small().open(&path).is_err(), "nobody else can open it");
        // Those who have it go on.
        cache.set("k", at.to_le_bytes()).expect("set");
        assert_eq!(cache.get("k").as_deref(), Some(&at.to_le_bytes()[..]));
        patch(&path, at, &before);
        cache.verify().expect("it is as it was");
    }
}

/// A clock that is put back would let entries outlive their time, and nobody could see it.
#[test]
fn the_base_of_the_clock() {
    let scratch = Scratch::new();
    let path = made(&scratch);
    let cache = small().open(&path).expect("the cache");
    cache.set_with_ttl("k", "v", Duration::from_secs(10)).expect("set");
    let file = std::fs::File::open(&path).expect("the file");
    let mut before = [0; 8];
    file.read_exact_at(&mut before, CLOCK_BASE).expect("the base");
    let base = u64::from_le_bytes(before);
    for wrong in [base - 1, base + 1, 0, u64::MAX, base - 86_400_000] {
        patch(&path, CLOCK_BASE, &wrong.to_le_bytes());
        assert!(found(&cache).contains("clock"), "{wrong}");
        let _ = (cache.get("k"), cache.time_to_live("k"), cache.set_with_ttl("other", "v", Duration::MAX));
    }
    patch(&path, CLOCK_BASE, &before);
    cache.verify().expect("it is as it was");
    assert_eq!(cache.get("k").as_deref(), Some(&b"v"[..]));
}
