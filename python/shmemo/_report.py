"""What the cache counts and what `verify` says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the file was made, over all processes, and what the file holds now.

    Each thread adds up what it counted now and then, so counts of other processes lag a little, and a kill loses as much.
    """

    hits: int
    misses: int
    stored: int
    replaced: int
    removed: int
    evicted_unused: int
    evicted_used: int
    evicted_by_full_bucket: int
    expired: int
    cleared: int
    dropped: int
    moved_bytes: int
    appended_bytes: int
    evicted_too_early: int
    segments_freed: int
    reads_given_up: int
    entries: int
    live_bytes: int
    filled_bytes: int
    log_bytes: int
    slots: int
    segments: int
    segments_free: int
    segments_held: int
    segments_main: int
    processes: int
    max_processes: int
    evicted_age: float
    """Seconds from when what is evicted at present was stored or last moved, a running mean; 0.0 until something was evicted."""
    undecodable: int
    """Values that this handle could not decode, each of which was a miss to its caller (and is among the hits here)."""

    @property
    def hit_ratio(self) -> float:
        """Hits in all gets, 0.0 if there were none."""
        gets = self.hits + self.misses
        return self.hits / gets if gets else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found in a file in which nothing is wrong."""

    entries: int
    payload_bytes: int
    logged: int
    unfinished: int
    count_drift: int
    bound_drift: int
