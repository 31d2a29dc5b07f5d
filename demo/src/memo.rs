//! Where a worker keeps the answers of the model: nowhere, in its own memory, or in the cache that all share.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use shmemo::Cache;

use crate::model::{Answer, Model};

/// About how many bytes a line and its answer take in the shared cache.
const ENTRY_SIZE: usize = 96;

/// The key under which the workers count together how often the model ran. No line has a line break in it.
const RUNS: &str = "\nruns";

/// The three ways to go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every line goes through the model.
    Without,
    /// Each worker has a map of its own, which never evicts: no cache within one process can have a better hit rate.
    Private,
    /// All workers open one file.
    Shared,
}

impl Mode {
    /// All of them, in the order in which they are run.
    pub const ALL: [Self; 3] = [Self::Without, Self::Private, Self::Shared];

    /// The name on a worker's command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Without => "without",
            Self::Private => "private",
            Self::Shared => "shared",
        }
    }

    /// The mode of a name.
    pub fn from_word(word: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|mode| mode.word() == word) {
            Some(mode) => Ok(mode),
            None => bail!("there is no mode {word}"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Without => "no cache",
            Self::Private => "a cache in each process",
            Self::Shared => "one shared cache (shmemo)",
        })
    }
}

/// The answers that a worker has at hand.
pub enum Memo {
    /// None.
    Without,
    /// Those that it worked out itself.
    Private(HashMap<Box<str>, Answer>),
    /// Those that any worker worked out, and a buffer to copy them into.
    Shared(Cache, Vec<u8>),
}

impl Memo {
    /// Opens what the mode needs. The first worker to come makes the shared cache; the others attach to it.
    pub fn open(mode: Mode, path: &Path, capacity: u64) -> Result<Self> {
        Ok(match mode {
            Mode::Without => Self::Without,
            Mode::Private => Self::Private(HashMap::new()),
            Mode::Shared => {
                let cache = Cache::builder().capacity(capacity).expected_entry_size(ENTRY_SIZE).open(path);
                Self::Shared(cache.with_context(|| format!("cannot open the cache {}", path.display()))?, Vec::new())
            }
        })
    }

    /// The answer for a line, and whether the model had to run.
    pub fn answer(&mut self, line: &str, model: &Model) -> Result<(Answer, bool)> {
        match self {
            Self::Without => Ok((model.run(line), true)),
            Self::Private(map) => {
                if let Some(&answer) = map.get(line) {
                    return Ok((answer, false));
                }
                let answer = model.run(line);
                map.insert(line.into(), answer);
                Ok((answer, true))
            }
            Self::Shared(cache, value) => {
                if cache.get_into(line, value) {
                    let answer = Answer::from_bytes(value).context("the shared cache holds an answer of a wrong length")?;
                    return Ok((answer, false));
                }
                let answer = model.run(line);
                cache.set(line, answer.0).context("cannot store an answer in the shared cache")?;
                cache.increment(RUNS, 1, 0, None).context("cannot count in the shared cache")?;
                Ok((answer, true))
            }
        }
    }
}

/// How often the model ran, over all workers that use the cache, the dead ones included.
pub fn shared_runs(cache: &Cache) -> Option<u64> {
    let count = cache.get(RUNS)?.try_into().ok()?;
    Some(u64::from_le_bytes(count))
}
