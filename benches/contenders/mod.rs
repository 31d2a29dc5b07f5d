//! The caches that are compared, and what they are made to do.
//!
//! Every contender runs the same keys in the same order: 16-byte keys, chosen by Zipf's law with exponent 0.99 from sequences that are computed
//! beforehand. What differs between them is said in their names. The shmemo file, and LMDB's, lie in a temporary directory in `/dev/shm`; the shmemo
//! file is opened by its path and prefaulted. The others live on the heap.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

/// A key.
pub type Name = [u8; 16];

/// Room for so many entries in the works that evict.
pub const ROOM: usize = 100_000;

/// A generator that is good enough to choose by.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// What is done, the same for every contender.
pub struct Work {
    pub keys: Vec<Name>,
    /// The order in which the keys are stored before anything is measured: not that of their popularity.
    pub filling: Vec<u32>,
    /// Which key each operation is about.
    pub order: Vec<u32>,
    pub value: Vec<u8>,
}

impl Work {
    pub fn new(keys: usize, value_len: usize, operations: usize) -> Self {
        let mut random = Random(0x1234_5678_9abc_def1);
        let names = (0..keys).map(|_| {
            let mut name = [0; 16];
            name[..8].copy_from_slice(&random.next().to_le_bytes());
            name[8..].copy_from_slice(&random.next().to_le_bytes());
            name
        });
        let names: Vec<Name> = names.collect();
        let mut filling: Vec<u32> = (0..keys as u32).collect();
        for i in (1..keys).rev() {
            filling.swap(i, (random.next() % (i as u64 + 1)) as usize);
        }
        let mut sum = 0.0;
        let weights = (1..=keys).map(|rank| {
            sum += (rank as f64).powf(-0.99);
            sum
        });
        let sums: Vec<f64> = weights.collect();
        let choose = |random: &mut Random| {
            let at = (random.next() >> 11) as f64 / (1u64 << 53) as f64 * sum;
            sums.partition_point(|&upto| upto < at).min(keys - 1) as u32
        };
        let order = (0..operations).map(|_| choose(&mut random)).collect();
        Self { keys: names, filling, order, value: vec![0x5a; value_len] }
    }
}

/// A cache, and a way to use it.
pub trait Store {
    /// One hit or miss. What is read is left to the optimizer's imagination.
    fn read(&self, key: &Name, buffer: &mut Vec<u8>) -> bool;
    fn write(&self, key: &Name, value: &[u8]);
    /// Entries, where the bound is not a number of entries.
    fn count(&self) -> Option<usize> {
        None
    }
}

/// What a contender does with a stretch of the order; gives the number of hits.
pub type Run<'a> = Box<dyn Fn(&[u32]) -> usize + 'a>;

/// A contender with its name.
pub struct Contender<'a> {
    pub name: &'static str,
    pub gets: Run<'a>,
    pub sets: Run<'a>,
    /// 95 gets, 5 sets of a hundred.
    pub mixed: Run<'a>,
    pub count: Box<dyn Fn() -> Option<usize> + 'a>,
}

fn contender<'a, S: Store + 'a>(name: &'static str, work: &'a Work, keep_all: bool, store: S) -> Contender<'a> {
    for &key in &work.filling {
        store.write(&work.keys[key as usize], &work.value);
    }
    if keep_all {
        // A cache in buckets loses some keys before it is full. They are not to be the popular ones.
        let mut buffer = Vec::new();
        for key in work.keys.iter().rev() {
            if !store.read(key, &mut buffer) {
                store.write(key, &work.value);
            }
        }
    }
    let store = Arc::new(store);
    let (reader, writer, mixer) = (store.clone(), store.clone(), store.clone());
    let gets = move |order: &[u32]| {
        let mut buffer = Vec::with_capacity(work.value.len());
        order.iter().filter(|&&key| reader.read(&work.keys[key as usize], &mut buffer)).count()
    };
    let sets = move |order: &[u32]| {
        for &key in order {
            writer.write(&work.keys[key as usize], &work.value);
        }
        0
    };
    let mixed = move |order: &[u32]| {
        let mut buffer = Vec::with_capacity(work.value.len());
        let mut hits = 0;
        for (turn, &key) in order.iter().enumerate() {
            let key = &work.keys[key as usize];
            if turn % 20 == 19 {
                mixer.write(key, &work.value);
            } else {
                hits += usize::from(mixer.read(key, &mut buffer));
            }
        }
        hits
    };
    let count = move || store.count();
    Contender { name, gets: Box::new(gets), sets: Box::new(sets), mixed: Box::new(mixed), count: Box::new(count) }
}

#[derive(Clone)]
struct Shmemo(shmemo::Cache);

impl Store for Shmemo {
    #[inline]
    fn read(&self, key: &Name, buffer: &mut Vec<u8>) -> bool {
        let found = self.0.get_into(key, buffer);
        black_box(buffer.as_ptr());
        found
    }

    fn write(&self, key: &Name, value: &[u8]) {
        self.0.set(key, value).expect("a set");
    }

    fn count(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// With a new vector for each value.
struct ShmemoGet(shmemo::Cache);

impl Store for ShmemoGet {
    #[inline]
    fn read(&self, key: &Name, _: &mut Vec<u8>) -> bool {
        black_box(self.0.get(key)).is_some()
    }

    fn write(&self, _: &Name, _: &[u8]) {}
}

type Shared = Arc<[u8]>;

/// Hands out a share (`COPY` is false) or copies the value out of it.
struct Quick<const COPY: bool>(Arc<quick_cache::sync::Cache<Name, Shared>>);

impl<const COPY: bool> Store for Quick<COPY> {
    #[inline]
    fn read(&self, key: &Name, buffer: &mut Vec<u8>) -> bool {
        hand_out::<COPY>(self.0.get(key), buffer)
    }

    fn write(&self, key: &Name, value: &[u8]) {
        self.0.insert(*key, value.into());
    }
}

#[inline]
fn hand_out<const COPY: bool>(value: Option<Shared>, buffer: &mut Vec<u8>) -> bool {
    let Some(value) = value else { return false };
    if COPY {
        buffer.clear();
        buffer.extend_from_slice(&value);
        black_box(buffer.as_ptr());
    } else {
        black_box(&value);
    }
    true
}

struct Moka(moka::sync::Cache<Name, Shared>);

impl Store for Moka {
    #[inline]
    fn read(&self, key: &Name, buffer: &mut Vec<u8>) -> bool {
        hand_out::<false>(self.0.get(key), buffer)
    }

    fn write(&self, key: &Name, value: &[u8]) {
        self.0.insert(*key, value.into());
    }
}

/// Never evicts.
struct Dash<const COPY: bool>(Arc<dashmap::DashMap<Name, Shared, ahash::RandomState>>);

impl<const COPY: bool> Store for Dash<COPY> {
    #[inline]
    fn read(&self, key: &Name, buffer: &mut Vec<u8>) -> bool {
        if COPY {
            let Some(value) = self.0.get(key) else { return false };
            buffer.clear();
            buffer.extend_from_slice(&value);
            black_box(buffer.as_ptr());
            return true;
        }
        hand_out::<false>(self.0.get(key).map(|value| value.clone()), buffer)
    }

    fn write(&self, key: &Name, value: &[u8]) {
        self.0.insert(*key, value.into());
    }
}

/// A transaction for each operation, no syncing. Never evicts.
struct Lmdb {
    env: heed::Env,
    database: heed::Database<heed::types::Bytes, heed::types::Bytes>,
    _directory: TempDir,
}

impl Lmdb {
    fn new(keys: usize, value_len: usize) -> Self {
        let directory = tempfile::tempdir_in(Path::new("/dev/shm")).expect("a directory in /dev/shm");
        let size = (keys * (value_len + 256) * 4).max(64 << 20).next_multiple_of(1 << 20);
        let mut options = heed::EnvOpenOptions::new();
        options.map_size(size).max_dbs(1);
        // SAFETY: no other process opens this directory; without syncing, a crash of the machine loses what is there.
        let env = unsafe {
            options.flags(heed::EnvFlags::NO_SYNC | heed::EnvFlags::WRITE_MAP);
            options.open(directory.path()).expect("an LMDB environment")
        };
        let mut txn = env.write_txn().expect("a transaction");
        let database = env.create_database(&mut txn, None).expect("a database");
        txn.commit().expect("a commit");
        Self { env, database, _directory: directory }
    }
}

impl Store for Lmdb {
    #[inline]
    fn read(&self, key: &Name, buffer: &mut Vec<u8>) -> bool {
        let txn = self.env.read_txn().expect("a transaction");
        let Some(value) = self.database.get(&txn, key).expect("a read") else { return false };
        buffer.clear();
        buffer.extend_from_slice(value);
        black_box(buffer.as_ptr());
        true
    }

    fn write(&self, key: &Name, value: &[u8]) {
        let mut txn = self.env.write_txn().expect("a transaction");
        self.database.put(&mut txn, key, value).expect("a write");
        txn.commit().expect("a commit");
    }
}

/// A shmemo cache of so many bytes: a prefaulted file in `/dev/shm`, opened by its path.
fn shmemo_file(directory: &TempDir, capacity: usize, value_len: usize) -> shmemo::Cache {
    let builder = shmemo::Cache::builder().capacity(capacity as u64).expected_entry_size(32 + value_len).prefault(true);
    builder.open(directory.path().join("versus.shmemo")).expect("a cache in /dev/shm")
}

/// All contenders with everything in them and room to spare: for hits.
pub fn with_room<'a>(work: &'a Work, directory: &TempDir) -> Vec<Contender<'a>> {
    let room = work.keys.len() * 5 / 4;
    all(work, directory, room, room * (work.value.len() + 64))
}

/// All contenders with room for [`ROOM`] entries, but for dashmap and LMDB, which never evict. shmemo gets the memory that `quick_cache` takes for as many.
pub fn full<'a>(work: &'a Work, directory: &TempDir) -> Vec<Contender<'a>> {
    all(work, directory, ROOM, ROOM * (work.value.len() + 91))
}

/// Two that use the same cache do not stand side by side: the second would find in the processor's caches what the first left there.
fn all<'a>(work: &'a Work, directory: &TempDir, room: usize, bytes: usize) -> Vec<Contender<'a>> {
    let keep_all = room > work.keys.len();
    let cache = shmemo_file(directory, bytes, work.value.len());
    let quick = Arc::new(quick_cache::sync::Cache::new(room));
    let dash = Arc::new(dashmap::DashMap::with_hasher(ahash::RandomState::new()));
    vec![
        contender("quick_cache, Arc", work, keep_all, Quick::<false>(quick.clone())),
        contender("shmemo, get_into", work, keep_all, Shmemo(cache.clone())),
        contender("dashmap + ahash, Arc", work, keep_all, Dash::<false>(dash.clone())),
        contender("moka, Arc", work, keep_all, Moka(moka::sync::Cache::new(room as u64))),
        contender("quick_cache, copy", work, keep_all, Quick::<true>(quick)),
        contender("shmemo, get", work, keep_all, ShmemoGet(cache)),
        contender("LMDB, copy", work, keep_all, Lmdb::new(work.keys.len(), work.value.len())),
        contender("dashmap + ahash, copy", work, keep_all, Dash::<true>(dash)),
    ]
}
