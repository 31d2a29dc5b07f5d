//! Dates and times as values.

use crate::int::Int;

/// A date and time as a value: what its clock shows, and where that clock hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// Microseconds from 1970-01-01T00:00 to what the clock shows, as if there were no zones.
    pub micros: Int,
    /// Whether this is the second time that the clock shows this, after it was set back.
    pub fold: bool,
    /// Its zone.
    pub zone: Zone,
}

/// A time of day as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// Microseconds from midnight to what the clock shows.
    pub micros: Int,
    /// Whether this is the second time that the clock shows this, after it was set back.
    pub fold: bool,
    /// Its zone.
    pub zone: Zone,
}

/// Where a clock hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Nowhere in particular.
    Naive,
    /// So many microseconds ahead of UTC; 0 is UTC itself.
    Fixed(Int),
    /// In a zone of the IANA data base, by its name.
    Named(String),
}
