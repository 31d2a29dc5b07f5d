//! `verify`: looks for anything in the file that should not be there.

use std::fmt;

use super::Cache;
use super::time::FileClock;
use crate::protocol::{Facts, Finding};

/// At most so many problems are listed.
const LISTED: usize = 100;

/// What [`Cache::verify`] found in a file in which nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Entries, those included that have expired and not been noticed.
    pub entries: usize,
    /// Bytes of their keys and values.
    pub payload_bytes: u64,
    /// Entries in the log, dead ones included.
    pub logged: usize,
    /// Slots that an insert has begun to use and not finished: what is under way now, and what died processes left.
    /// They are taken back by the next insert or sweep.
    pub unfinished: usize,
    /// By how much [`Cache::len`] is off. A death in the middle of a write leaves a 1 here until that part of the log
    /// is recycled.
    pub count_drift: usize,
    /// By how many entries the bound of [`Builder::max_entries`](crate::Builder::max_entries) is reached too early. A death in
    /// the middle of a write leaves a 1 here until others store at the bound; zero also while somebody is at it.
    pub bound_drift: usize,
}

/// Something in the file that should not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem(Finding);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Finding::State { segment } => {
                write!(f, "segment {segment}: its state is none that there is, or names an owner that has no line")
            }
            Finding::Bounds { segment } => write!(f, "segment {segment}: its tail or its hand lies outside it"),
            Finding::Log { segment, unit } => write!(f, "segment {segment}: no entry at unit {unit}, below its tail"),
            Finding::Dangling { bucket, slot } => write!(f, "bucket {bucket}, slot {slot}: points at no entry"),
            Finding::Misplaced { bucket, slot } => {
                write!(f, "bucket {bucket}, slot {slot}: its entry's hash is not that of its key")
            }
            Finding::Duplicate { bucket, slot } => write!(f, "bucket {bucket}, slot {slot}: its key is live in another slot too"),
            Finding::Swept { bucket, slot } => {
                write!(f, "bucket {bucket}, slot {slot}: points at what a sweep has passed, and would dangle")
            }
            Finding::Future { bucket, slot } => {
                write!(
                    f,
                    "bucket {bucket}, slot {slot}: its entry is of a `clear` or of a version that was not yet, or expires too late"
                )
            }
            Finding::Count => write!(f, "the number of entries that max_entries bounds is lower than there are"),
            Finding::Leftover { line } => {
                write!(f, "registry line {line}: nobody has it, and it pins segments or says that it counts")
            }
            Finding::Registry => write!(f, "the registry claims more lines in use than it has, or fewer than are taken"),
            Finding::Incarnation { line } => {
                write!(f, "registry line {line}: its incarnation is another line's too, or was not given out")
            }
            Finding::Clock => write!(f, "the base of the clock is not what it was set to"),
            Finding::Header => write!(f, "the header is not what it was: nobody else can open the file"),
        }
    }
}

/// [`Cache::verify`] found something wrong: somebody other than this crate wrote to the file, or there is a bug in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Corruption {
    /// What was found, up to a hundred problems.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.problems.first() else { return write!(f, "the cache file is corrupt") };
        write!(f, "the cache file is corrupt: {first}")?;
        match self.problems.len() - 1 {
            0 => write!(f, ". "),
            more => write!(f, " (and {more} more). "),
        }?;
        write!(
            f,
            "Reads stay safe and give at worst a miss; to get all the room back, delete the file, or drop the anonymous cache, and \
             create another"
        )
    }
}

impl std::error::Error for Corruption {}

impl Cache {
    /// Looks at every segment and every slot. Works while others go on, and takes time in proportion to the capacity.
    ///
    /// # Errors
    /// [`Corruption`] says what is wrong.
    pub fn verify(&self) -> Result<Report, Corruption> {
        let inner = &self.inner;
        let is_header_right = inner.header.is_in(&inner.core.memory);
        let is_clock_right = FileClock::is_right(&inner.core);
        let of_the_header = [(Finding::Header, is_header_right), (Finding::Clock, is_clock_right)];
        let mut problems: Vec<_> =
            of_the_header.into_iter().filter(|(_, right)| !right).map(|(found, _)| Problem(found)).collect();
        let facts =
            Facts { hash: &|key| inner.hasher.hash(key), latest_expiry_ms: &|| inner.seat.clock.latest_expiry(&inner.core) };
        let summary = inner.core.verify(&facts, &mut |finding| {
            problems.push(Problem(finding));
            problems.len() < LISTED
        });
        if !problems.is_empty() {
            return Err(Corruption { problems });
        }
        Ok(Report {
            entries: summary.entries,
            payload_bytes: summary.payload_bytes,
            logged: summary.logged,
            unfinished: summary.tentative,
            count_drift: summary.count_drift,
            bound_drift: summary.bound_drift,
        })
    }
}
