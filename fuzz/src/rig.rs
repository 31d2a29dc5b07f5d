//! Files to be spoilt: made once, kept as they were, and put right again before each input.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use shmemo::{Builder, Cache, OpenError};

use crate::edit::Spoilt;
use crate::hash::KeyHasher;
use crate::layout::{self, Geometry, Layout};
use crate::ops;

/// How many kinds of files there are.
pub const KINDS: u8 = 4;
/// Bytes of each file: the fewest there can be.
pub const CAPACITY: u64 = layout::MIN_CAPACITY;
/// Keys that a full file is filled with.
pub const FILLED_KEYS: u16 = 200;

const PAGE: usize = 4096;
/// Words of the header that are covered by its checksum, which stands behind them.
const CHECKED_WORDS: usize = 18;
/// From `src/header.rs`.
const CHECKSUM_SEED: u64 = 0x7368_6d65_6d6f_6864;
/// The key of the hash in all files: with a random one, inputs would mean something else in each run.
const HASH_KEY: u64 = 0x0123_4567_89ab_cdef;
const DIRECTORY: &str = "/dev/shm";
const PREFIX: &str = "shmemo-fuzz-";

/// A file, and how it was before anybody touched it.
pub struct Rig {
    path: PathBuf,
    file: File,
    pristine: Vec<u8>,
    found: Vec<u8>,
    pub layout: Layout,
    hasher: KeyHasher,
}

/// The options of a kind of file.
pub fn builder(kind: u8) -> Builder {
    let builder = Cache::builder().capacity(CAPACITY).max_processes(4).expected_entry_size(4096);
    match kind % KINDS {
        0 => builder,
        1 => builder.max_entries(8),
        2 => builder.max_entries(100).max_value_len(1000),
        _ => builder.max_value_len(64 << 10).default_ttl(Duration::from_secs(3600)),
    }
}

/// Makes the checksum of a header fit its bytes.
pub fn fix_checksum(header: &mut [u8]) {
    let (checked, rest) = header.split_at_mut(CHECKED_WORDS * 8);
    rest[..8].copy_from_slice(&KeyHasher::new(CHECKSUM_SEED).hash(checked).to_le_bytes());
}

/// Whether the process whose number stands in the name of a file is gone.
fn is_left_over(name: &str) -> bool {
    let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
}

/// The files of this process, and those of processes that are gone, which a crash leaves behind.
fn remove_files(is_one: impl Fn(&str) -> bool) {
    let names = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    for name in names.filter(|entry| entry.file_name().to_str().is_some_and(&is_one)) {
        let _ = fs::remove_file(name.path());
    }
}

extern "C" fn remove_own_files() {
    let own = format!("{PREFIX}{}-", std::process::id());
    remove_files(|name| name.starts_with(&own));
}

thread_local! {
    static RIGS: RefCell<Vec<(u8, bool, Rig)>> = const { RefCell::new(Vec::new()) };
}

/// Does something with the file of this kind, empty or full, as it was when it was made.
pub fn with<R>(kind: u8, full: bool, act: impl FnOnce(&mut Rig) -> R) -> R {
    static CLEAN: Once = Once::new();
    CLEAN.call_once(|| {
        remove_files(is_left_over);
        // SAFETY: the function is of the right kind, and does nothing that may not be done at the exit.
        unsafe { libc::atexit(remove_own_files) };
    });
    let kind = kind % KINDS;
    RIGS.with_borrow_mut(|rigs| {
        let known = rigs.iter().position(|rig| (rig.0, rig.1) == (kind, full));
        let at = known.unwrap_or_else(|| {
            rigs.push((kind, full, Rig::new(kind, full)));
            rigs.len() - 1
        });
        let rig = &mut rigs[at].2;
        rig.restore();
        act(rig)
    })
}

impl Rig {
    fn new(kind: u8, full: bool) -> Self {
        let path = Path::new(DIRECTORY).join(format!("{PREFIX}{}-{kind}-{full}", std::process::id()));
        let _ = fs::remove_file(&path);
        drop(builder(kind).create_new(&path).expect("a file to begin with"));
        let file = OpenOptions::new().read(true).write(true).open(&path).expect("open the file");
        let mut header = [0; PAGE];
        file.read_exact_at(&mut header, 0).expect("read the header");
        for (word, value) in [(4, HASH_KEY), (15, 0)] {
            header[word * 8..][..8].copy_from_slice(&value.to_le_bytes());
        }
        fix_checksum(&mut header);
        file.write_all_at(&header, 0).expect("write the header");
        let layout = read_layout(&header);
        let cache = Cache::builder().attach(&path).expect("attach");
        if full {
            ops::fill(&cache);
            cache.verify().expect("a file in which nothing is wrong");
        }
        drop(cache);
        let mut pristine = vec![0; CAPACITY as usize];
        file.read_exact_at(&mut pristine, 0).expect("read the file");
        let found = pristine.clone();
        let rig = Self { path, file, pristine, found, layout, hasher: KeyHasher::new(HASH_KEY) };
        assert!(
            !full || rig.slots_of(&ops::key_of(u16::from(KINDS))).into_iter().any(|at| rig.word(at) >> 62 == 2),
            "edits would go astray"
        );
        rig
    }

    /// Makes the file what it was.
    fn restore(&mut self) {
        let is = "restore the file";
        self.file.set_len(CAPACITY).expect(is);
        self.file.read_exact_at(&mut self.found, 0).expect(is);
        for (at, page) in self.pristine.chunks(PAGE).enumerate() {
            if self.found[at * PAGE..][..PAGE] != *page {
                self.file.write_all_at(page, (at * PAGE) as u64).expect(is);
            }
        }
    }

    /// Attaches as a program does that has no wishes.
    pub fn attach(&self) -> Result<Cache, OpenError> {
        Cache::builder().attach(&self.path)
    }

    /// The file, open for reading and writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes bytes; what would make the file longer is left out.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        let len = self.file.metadata().map_or(0, |metadata| metadata.len()) as usize;
        let fitting = &bytes[..bytes.len().min(len.saturating_sub(at))];
        self.file.write_all_at(fitting, at as u64).expect("write to the file");
    }

    /// The header as it was.
    pub fn header(&self) -> &[u8] {
        &self.pristine[..PAGE]
    }
}

impl Spoilt for Rig {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn bytes(&self) -> usize {
        CAPACITY as usize
    }

    /// What stands in the file now, or zero beyond its end.
    fn word(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        let _ = self.file.read_exact_at(&mut bytes, at as u64);
        u64::from_le_bytes(bytes)
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        self.write(at, bytes);
    }

    fn key(&self, number: u8) -> Vec<u8> {
        ops::key_of(number.into())
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }
}

fn read_layout(header: &[u8]) -> Layout {
    let word = |at: usize| u64::from_le_bytes(header[at * 8..][..8].try_into().expect("eight bytes"));
    assert_eq!(word(2), layout::FINGERPRINT, "the layout that edits are made by is not that of the file");
    let geometry = Geometry {
        capacity: word(5),
        segments: word(6),
        segment_bytes: word(7),
        buckets: word(8),
        ghost_sets: word(9),
        lines: word(10),
        max_value_len: word(11),
        max_entries: word(12),
        expected_entry_size: word(13),
    };
    geometry.layout().expect("a possible geometry")
}
