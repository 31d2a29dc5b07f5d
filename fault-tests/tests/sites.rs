//! No step is forgotten: every place in the code that changes the shared file, a lock or the name of a file is reached by a scenario,
//! or stands below with the reason why none does.
#![cfg(shmemo_fault)]

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fault_tests::common::Scratch;
use fault_tests::fixture::{Fixture, Kind};
use fault_tests::harness::{alone, attach, count_steps, die_at, go_on, stop_at};
use fault_tests::scenario::{LONG_RUNS, SINGLE};
use shmemo::fault::{Action, arm, disarm, sites};
use shmemo::{Cache, OnMismatch};

type Site = (String, u32);

/// Calls that are steps, wherever they stand in `src/protocol`, `src/cache` and `src/os`.
const CALLS: [&str; 12] = [
    "swap_slot(",
    "swap_state(",
    ".store(",
    ".compare_exchange(",
    ".fetch_add(",
    "write_payload(",
    "copy_payload(",
    "fault::point()",
    "lock::try_lock(",
    "lock::lock_within(",
    "lock::lock_unless(",
    "lock::unlock(",
];

/// Lines that no scenario reaches, and why.
const EXCEPTIONS: [(&str, &str); 10] = [
    ("wanted(Mutant::", "a fault for the models"),
    ("self.memory.word(to + 8).store(", "a fault for the models"),
    ("self.core.state(claim.segment), super::StateWord::sealed(Log::Newcomers)", "a fault for the models"),
    ("core.swap_state(walk.segment, held, StateWord::FREE);", "a fault for the models"),
    ("if self.core.swap_slot(slot_at, word, SlotWord::EMPTY) {", "rotten bytes (fuzzing), and two inserts at once (models)"),
    ("let _ = core.swap_slot(mine, tentative, SlotWord::EMPTY);", "two inserts at once (models)"),
    ("(word.kind() == Kind::Tentative && self.core.swap_slot(at, word, tentative))", "eight inserts at once"),
    ("core.swap_slot(at, word, SlotWord::EMPTY);", "rotten bytes (fuzzing)"),
    ("Found::No if self.core.swap_slot(at, word, tentative)", "rotten bytes (fuzzing)"),
    ("let _ = lock::unlock(fd, self.line_byte(usize::from(owner.line)), 1);", "a file that cannot be opened once more"),
];

/// What is no step, though a line looks like one: words of this process alone, and the bodies of what is noted where it is called.
const NOT_SHARED: [&str; 25] = [
    "CURRENT.store(",
    "hint.store(",
    "hints.sweeping.store(",
    "hints.patience.store(",
    "hints.harvested.store(",
    "hints.harvesting.store(",
    "self.memory.word(at).compare_exchange(from.bits(), to.bits(), order",
    "self.store(key.as_ref()",
    "NEXT_LANE.fetch_add(",
    "counter.fetch_add(times",
    "counter.store(before",
    "pending.store(0",
    "self.page.word(page::",
    "self.page.word(self.mark)",
    "self.word.store(address",
    "place.store(",
    "self.store(Marked::new(",
    "self.store(marked)",
    "self.child[",
    "self.device.store(",
    "self.inode.store(",
    "self.descriptor.store(",
    "REGISTRY.compare_exchange(",
    "TOKENS.fetch_add(",
    "self.word.compare_exchange(",
];

/// Files whose functions are noted where they are called.
const NOTED_BY_CALLERS: [&str; 1] = ["src/os/lock.rs"];

fn note(found: &mut BTreeSet<Site>, act: impl FnOnce()) {
    arm(0, Action::Count);
    act();
    disarm();
    found.extend(sites().into_iter().map(|(file, line)| (file.to_owned(), line)));
}

/// The offset of the boot id in the header: a test that pretends a reboot writes there.
const BOOT_ID: u64 = 0x188;

fn reached() -> BTreeSet<Site> {
    let scratch = Scratch::new();
    let mut found = BTreeSet::new();
    for scenario in SINGLE.iter().chain(LONG_RUNS) {
        found.extend(count_steps(scenario, &scratch.path("count")).into_iter().map(|(file, line)| (file.to_owned(), line)));
    }
    let path = scratch.path("cache");
    let builder = || Cache::builder().capacity(1 << 20);
    note(&mut found, || drop(builder().open(&path).expect("a cache")));
    note(&mut found, || drop(builder().capacity(2 << 20).on_mismatch(OnMismatch::Recreate).open(&path).expect("a cache")));
    // Another boot: the next to come begins anew.
    let file = std::fs::File::options().write(true).open(&path).expect("the file");
    file.write_all_at(b"another boot id", BOOT_ID).expect("a write");
    note(&mut found, || attach(&Cache::builder().attach(&path).expect("the file")));
    std::fs::remove_file(&path).expect("the file");
    // One line, and two who want it.
    let one = Cache::builder().capacity(1 << 20).max_processes(1).create_new(&path).expect("a cache");
    note(&mut found, || drop(Cache::builder().attach(&path).expect("the file")));
    drop(one);
    std::fs::remove_file(&path).expect("the file");
    // Deaths at some places, and a recovery of each kind.
    for kind in [Kind::Full, Kind::Bounded, Kind::Roomy] {
        for step in 0..40 {
            let fixture = Fixture::new(kind, &path);
            let act = || fixture.cache.set(b"target", [1; 3000]).expect("set");
            die_at(step, || attach(&fixture.cache), act);
            if step % 2 == 0 {
                note(&mut found, || fixture.laps(1));
            }
            note(&mut found, || {
                let late = Cache::builder().attach(&fixture.path).expect("the file");
                attach(&late);
            });
            note(&mut found, || fixture.others_go_on());
            note(&mut found, || fixture.laps(1));
            std::fs::remove_file(&path).expect("the file");
        }
    }
    // A pin that stands while its segment is swept.
    for step in 0..14 {
        let fixture = Fixture::new(Kind::Full, &path);
        fixture.let_age();
        let act = || fixture.cache.set(b"target", b"a new value").expect("set");
        let stopped = stop_at(step, || attach(&fixture.cache), act);
        note(&mut found, || fixture.laps(3));
        stopped.into_iter().for_each(go_on);
        std::fs::remove_file(&path).expect("the file");
    }
    found
}

fn files(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            if entry.file_name().is_some_and(|name| name != "tests") {
                files(&entry, found);
            }
        } else {
            found.push(entry);
        }
    }
}

/// The lines of the code that are steps, as far as their text shows, without tests.
fn in_the_code() -> Vec<(Site, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut paths = Vec::new();
    ["protocol", "cache", "os"].iter().for_each(|part| files(&root.join("src").join(part), &mut paths));
    let mut steps = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a source file");
        let name = path.strip_prefix(root).expect("inside").to_string_lossy().into_owned();
        if NOTED_BY_CALLERS.contains(&name.as_str()) {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().expect("the part before the tests");
        for (number, line) in code.lines().enumerate() {
            let line = line.trim();
            let is_definition = line.starts_with("//") || line.contains("fn ");
            if !is_definition
                && CALLS.iter().any(|call| line.contains(call))
                && !NOT_SHARED.iter().any(|known| line.contains(known))
            {
                steps.push(((name.clone(), number as u32 + 1), line.to_owned()));
            }
        }
    }
    steps
}

#[test]
fn every_step_in_the_code_is_reached() {
    let _turn = alone();
    let reached: BTreeSet<Site> =
        reached().into_iter().map(|(file, line)| (file.trim_start_matches("./").to_owned(), line)).collect();
    let mut steps = in_the_code();
    // Where files cannot be without a name: `/dev/shm` is not such a place.
    let is_by_name = |text: &str, line: u32| {
        text.lines()
            .take(line as usize)
            .filter(|line| line.starts_with("fn "))
            .last()
            .is_some_and(|last| last.starts_with("fn create_named"))
    };
    let create = include_str!("../../src/os/create.rs");
    steps.retain(|((file, line), _)| file != "src/os/create.rs" || !is_by_name(create, *line));
    assert!(steps.len() > 100, "{} steps found in the code", steps.len());
    let missed: Vec<String> = steps
        .iter()
        .filter(|(site, line)| !reached.contains(site) && !EXCEPTIONS.iter().any(|(known, _)| line.contains(known)))
        .map(|((file, number), line)| format!("{file}:{number}: {line}"))
        .collect();
    println!("{} steps in the code, {} places reached", steps.len(), reached.len());
    assert!(missed.is_empty(), "steps that no scenario reaches:\n{}", missed.join("\n"));
}
