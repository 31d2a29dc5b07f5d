//! Which segment gives way, and how much of the sweeping one call does.

use core::sync::atomic::Ordering;

use super::append::SHORT;
use super::credit::Purse;
use super::sweep::{HAND_MASK, Mercy, STEP_ENTRIES, STEP_UNITS, Step};
use super::{Core, Log, Memory, Op, Owner, Phase, StateWord, Word};
use crate::layout::{header, segment};

/// Steps after which a call that finds no room has no mercy left.
const STEPS_WITH_MERCY: u32 = 512;
/// Steps after which it looks whether there is room by now.
const STEPS_AT_ONCE: u32 = 32;
/// Steps after which an entry may go to the other log if that has room.
pub(super) const STEPS_FOR_THIS_LOG: u32 = 128;
/// Steps after which it gives up.
const STEPS: u32 = 4096;

/// For each unit that is stored so many are swept while free segments are short, whatever the lengths of the entries that lie
/// there: else those that are stored could take the room that was meant for the survivors of a walk, before its end.
const SWEPT_FOR_EACH_STORED: usize = 4;
/// So many units at most for one set, ...
const MOST_SWEPT: usize = 8 * STEP_UNITS;
/// ... and in so many steps.
const STEPS_OF_A_SET: u32 = 64;

/// A segment as the choice of a victim sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub segment: usize,
    pub birth: u64,
    pub is_open: bool,
}

/// What one look over the segment table says.
#[derive(Default)]
struct Survey {
    /// A walk that was begun.
    begun: Option<usize>,
    /// A sealed segment in which nothing is alive.
    all_dead: Option<usize>,
    /// The sealed segment with the fewest live units, and those.
    deadest: Option<(usize, usize)>,
    /// The mostly dead segment that is most worth compacting, and how much it is.
    mostly_dead: Option<(usize, u64)>,
    /// An OPEN segment half of which is dead bytes, the oldest of these, with its birth.
    open_and_dead: Option<(usize, u64)>,
    /// The oldest of each log, sealed ones before open ones.
    oldest: [Option<Candidate>; 2],
    /// Units that are dead in sealed segments whose walk was not begun.
    dead: usize,
    /// Segments of each log.
    segments: [u64; 2],
    /// Who holds segments.
    holders: Vec<Owner>,
}

/// A segment to be swept.
#[derive(Clone, Copy, Debug)]
struct Victim {
    segment: usize,
    /// Whether all that is alive in it is to be saved. If not, the walk decides that by itself.
    is_compacted: bool,
}

pub(super) fn pack(segment: usize, birth: u64) -> u64 {
    birth << 8 | segment as u64
}

impl<M: Memory> Core<M> {
    pub(super) fn field(&self, segment: usize, field: usize) -> u64 {
        self.load(self.layout.segment_at(segment, field), Ordering::Relaxed)
    }

    /// A segment as a hint names it: with its birth.
    pub(super) fn pack(&self, segment: usize) -> u64 {
        pack(segment, self.field(segment, segment::BIRTH))
    }

    /// The segment that a hint names, if that is in this phase and was not recycled since.
    pub(super) fn hinted(&self, hint: u64, phase: Phase) -> Option<usize> {
        let segment = (hint & 0xff) as usize;
        let is_good = segment < self.layout.segments && self.state(segment).phase() == phase && self.pack(segment) == hint;
        is_good.then_some(segment)
    }

    fn survey(&self, era: u32, now_ms: impl Fn() -> u64) -> Survey {
        let mut survey = Survey::default();
        let purse = self.purse();
        for segment in 0..self.layout.segments {
            let state = self.state(segment);
            let log = state.log() as usize;
            match state.phase() {
                Phase::Free | Phase::Rotten => continue,
                Phase::Claimed | Phase::Sweeping => {
                    if let Some(owner) = state.owner().filter(|owner| !survey.holders.contains(owner)) {
                        survey.holders.push(owner);
                    }
                }
                phase @ (Phase::Open | Phase::Sealed) => {
                    let live = self.live_units(segment, era, &now_ms);
                    self.survey_one(&mut survey, segment, log, phase == Phase::Open, live, &purse);
                }
            }
            survey.segments[log] += 1;
        }
        survey
    }

    fn survey_one(&self, survey: &mut Survey, segment: usize, log: usize, is_open: bool, live: usize, purse: &Purse) {
        // The tail as a walk takes it: one beyond the end would make a walk that is done seem not to be.
        let (hand, tail) = (self.field(segment, segment::HAND) & HAND_MASK, self.tail(segment) as u64);
        if is_open && tail == 0 {
            return;
        }
        let is_done = hand >= tail && hand != 0;
        let is_pinned = || self.is_pinned(segment, self.generation(segment)).is_some();
        if !is_open && is_done && is_pinned() {
            return; // it costs room as long as the pin stands
        }
        let birth = self.field(segment, segment::BIRTH);
        if !is_open {
            if hand != 0 {
                survey.begun = Some(segment);
            }
            if live == 0 {
                survey.all_dead = Some(segment);
            }
            if hand == 0 {
                survey.dead += (tail as usize).saturating_sub(live);
            }
            if survey.deadest.is_none_or(|(_, least)| live < least) {
                survey.deadest = Some((segment, live));
            }
            // Where entries are evicted one by one, whoever does so ends the walks of the oldest segments.
            let layout = &self.layout;
            let is_left_alone = hand != 0 && live > 0 && layout.counts_entries && !layout.geometry.is_exact_lru();
            let score = self.worth_of_compacting(live, tail as usize, birth, purse);
            if !is_left_alone && score > survey.mostly_dead.map_or(0, |(_, best)| best) {
                survey.mostly_dead = Some((segment, score));
            }
        }
        let is_half_dead = (tail as usize).saturating_sub(live) * 2 >= self.layout.segment_units;
        if is_open && is_half_dead && survey.open_and_dead.is_none_or(|(_, oldest)| birth < oldest) {
            survey.open_and_dead = Some((segment, birth));
        }
        if survey.oldest[log].is_none_or(|oldest| (is_open, birth) < (oldest.is_open, oldest.birth)) {
            survey.oldest[log] = Some(Candidate { segment, birth, is_open });
        }
    }

    /// What is to be had from a mostly dead segment, weighed by its age as the cleaner of the log-structured file
    /// system does (Rosenblum and Ousterhout, TOCS 1992): else one of which a death left the count too high would never
    /// be chosen.
    fn worth_of_compacting(&self, live: usize, tail: usize, birth: u64, purse: &Purse) -> u64 {
        if !self.is_worth_compacting(live, tail, purse) {
            return 0;
        }
        let age = self.load(header::BIRTHS, Ordering::Relaxed).saturating_sub(birth).saturating_add(1);
        // What is dead wholly costs nothing; but it must not stand before all others for ever, for the same reason.
        let weight = if live == 0 && tail > 0 { 3 } else { 2 };
        age.saturating_mul((self.layout.segment_units - live) as u64).saturating_mul(weight)
    }

    /// Whether everything alive in a segment is to be saved: where half of what was written to it is dead, or next to nothing
    /// is alive, always; where half of it is empty or dead, or a quarter dead, if that is not too much to move. (A segment that
    /// long entries left half empty gains nothing by being copied to another, and can be copied again at once. But where entries
    /// are counted, segments are freed by this alone, one of which a death left the count too high among them.)
    pub(super) fn is_worth_compacting(&self, live: usize, tail: usize, purse: &Purse) -> bool {
        let units = self.layout.segment_units;
        let dead = tail.saturating_sub(live);
        let is_half_empty = live * 2 <= units;
        let is_cheap = live <= dead || live * 8 <= units || self.layout.counts_entries && is_half_empty;
        is_cheap || (is_half_empty || dead * 4 >= units) && purse.is_enough_to_compact(live)
    }

    /// What the logs hold, in units of the policy.
    pub(super) fn log_sizes(&self, segments: impl FnOnce() -> [u64; 2]) -> [u64; 2] {
        if self.layout.counts_entries { self.counted() } else { segments().map(|count| count * self.layout.segment_units as u64) }
    }

    pub(super) fn segments_of_logs(&self) -> [u64; 2] {
        let mut segments = [0; 2];
        for state in (0..self.layout.segments).map(|segment| self.state(segment)) {
            segments[state.log() as usize] += u64::from(state.phase() != Phase::Free);
        }
        segments
    }

    /// Takes an OPEN segment that nobody holds from the writers. A failure means that somebody came first.
    pub(super) fn seal(&self, segment: usize) {
        let log = self.state(segment).log();
        self.swap_state(segment, StateWord::open(log), StateWord::sealed(log));
    }

    /// The log that has to give way.
    pub(super) fn log_to_sweep(&self, sizes: [u64; 2]) -> Log {
        if sizes[1] == 0 || sizes[0] > self.share().max(1) { Log::Newcomers } else { Log::Main }
    }
}

impl<M: Memory> Op<'_, M> {
    /// The segment to sweep next: a walk that was begun, a mostly dead segment, or the oldest of the log that has to
    /// give way. An OPEN one is sealed first.
    fn choose_victim(&self, survey: &Survey) -> Option<Victim> {
        let as_it_is = |segment| Some(Victim { segment, is_compacted: false });
        // Where entries are evicted one by one, the walks that were begun are those of the oldest segments: they end by
        // themselves, and to compact them would make their entries young again.
        let is_counted = self.core.layout.counts_entries;
        let mostly_dead = survey.mostly_dead.map(|(segment, _)| segment);
        let chosen = if is_counted { mostly_dead.or(survey.begun) } else { survey.begun.or(mostly_dead) };
        if let Some(segment) = chosen {
            return as_it_is(segment);
        }
        if survey.dead * 10 > self.core.layout.segments * self.core.layout.segment_units
            && let Some((segment, live)) = survey.deadest
            && self.core.purse().is_enough_to_compact(live)
        {
            return Some(Victim { segment, is_compacted: true });
        }
        if self.core.layout.geometry.is_exact_lru() {
            // Entries that are large for a segment leave it OPEN behind them, whatever becomes of them.
            if let Some((segment, _)) = survey.open_and_dead {
                self.core.seal(segment);
                return as_it_is(segment);
            }
            if self.evict_least_recent().is_some() {
                return as_it_is(survey.deadest?.0);
            }
        }
        let log = self.core.log_to_sweep(self.core.log_sizes(|| survey.segments));
        // An OPEN segment is the last resort: where the share of newcomers is less than a segment, it would be sealed
        // and swept again and again with next to nothing in it.
        let oldest = [survey.oldest[log as usize], survey.oldest[log.other() as usize]];
        let first = oldest.into_iter().flatten().min_by_key(|candidate| candidate.is_open)?;
        if first.is_open {
            self.core.seal(first.segment);
        }
        as_it_is(first.segment)
    }

    fn survey(&self) -> Survey {
        self.core.survey(self.era, || self.now())
    }

    /// A step of the walk of last time, or of a new one.
    fn sweep_once(&self, mercy: Mercy) -> Option<Step> {
        let hinted = self.core.hinted(self.hints.sweeping.load(Ordering::Relaxed), Phase::Sealed);
        let victim = match hinted {
            Some(segment) => Victim { segment, is_compacted: false },
            None => self.choose_victim(&self.survey())?,
        };
        let mut segment = victim.segment;
        let mut step = self.sweep_step(segment, if victim.is_compacted { Mercy::Everything } else { mercy }, u64::MAX);
        if step == Step::Stuck
            && let Some(dead) = self.survey().all_dead
        {
            // It needs no room elsewhere. Only now: one of which a death left the count too high would never have its turn, were
            // those that are known to be dead always the first.
            segment = dead;
            step = self.sweep_step(segment, mercy, u64::MAX);
        }
        let goes_on = matches!(step, Step::Walked(_));
        let hint = if goes_on { self.core.pack(segment) } else { u64::MAX };
        self.hints.sweeping.store(hint, Ordering::Relaxed);
        if let Step::Pinned(owner) = step {
            self.reclaim(owner);
        }
        Some(step)
    }

    pub(super) fn reclaim(&self, owner: Owner) -> bool {
        self.owner != Some(owner) && self.world.reclaim(owner)
    }

    /// Asks whether one of those who hold segments is alive, another one each time: what a dead process held comes back
    /// although nobody is in want of it. The caller holds nothing.
    pub(super) fn ask_after_a_holder(&self) {
        let segments = self.core.layout.segments;
        let turn = self.core.load(header::BIRTHS, Ordering::Relaxed) as usize;
        let holder = (0..segments).find_map(|i| self.core.state(turn.wrapping_add(i) % segments).owner());
        if let Some(owner) = holder {
            self.reclaim(owner);
        }
    }

    /// Sweeps until a segment is free for the caller, or until it is time to look whether others have given back one with room.
    /// `false`: there is none to be had.
    pub(super) fn make_room(&self, effort: &mut u32) -> bool {
        while *effort < STEPS {
            if self.core.count_free() > self.core.reserve() {
                *effort += 1;
                return true;
            }
            // In exact order of use a sweep moves everything, and what goes is for `evict_least_recent` to say.
            let is_exact = self.core.layout.geometry.is_exact_lru();
            let has_mercy = *effort < STEPS_WITH_MERCY;
            let step = self.sweep_once(if has_mercy || is_exact { Mercy::Policy } else { Mercy::None });
            *effort += 1;
            match step {
                None | Some(Step::Taken) => {}
                Some(Step::Stuck) if is_exact && (!has_mercy || self.survey().holders.is_empty()) => {
                    if self.free_in_order() {
                        return true;
                    }
                }
                Some(Step::Stuck) => {
                    // Others hold what survivors would go to. Let them go on, but not for long.
                    *effort += 31;
                    self.core.memory.pause(*effort);
                    continue;
                }
                // Maybe there is room now beside the survivors.
                Some(Step::Freed) => return true,
                Some(_) if effort.is_multiple_of(STEPS_AT_ONCE) => return true,
                Some(_) => continue,
            }
            // Everything is held by others. They may be dead; if not, let them go on.
            let holders = self.survey().holders;
            if !holders.into_iter().any(|owner| self.reclaim(owner)) {
                *effort += 15;
                self.core.memory.pause(*effort);
            }
        }
        false
    }

    /// Whether the segment that this thread writes to has so much room that a free one is not needed soon: the later
    /// a segment is swept, the more of the file is in use.
    fn has_time(&self, units: usize) -> bool {
        let segment = self.hints.open[Log::Newcomers as usize].load(Ordering::Relaxed) as usize;
        // For each entry that is stored eight are swept, if eight fit a step; of long ones, four times their bytes.
        let sixteenths = if units * STEP_ENTRIES <= STEP_UNITS { 13 } else { 10 };
        units * 64 < self.core.layout.segment_units
            && segment < self.core.layout.segments
            && self.core.state(segment).phase() == Phase::Open
            && self.core.tail(segment) * 16 < self.core.layout.segment_units * sixteenths
    }

    /// What every set does while free segments are short: a step, or several if it stored much for what is swept, so that a
    /// segment is free before it is needed.
    pub(super) fn sweep_a_little(&self, units: usize) {
        let pressure = self.core.memory.word(header::PRESSURE);
        match pressure.load(Ordering::Relaxed) {
            0 => return,
            SHORT if self.has_time(units) => return,
            _ => {}
        }
        let wanted = (units * SWEPT_FOR_EACH_STORED).min(MOST_SWEPT);
        let mut swept = 0;
        for _ in 0..STEPS_OF_A_SET {
            match self.sweep_once(Mercy::Policy) {
                None | Some(Step::Stuck) => return,
                Some(Step::Freed) => {
                    let is_enough = self.core.count_free() > self.core.reserve();
                    pressure.store(if is_enough { 0 } else { SHORT }, Ordering::Relaxed);
                    return;
                }
                Some(Step::Walked(units)) => swept += units,
                Some(Step::Taken | Step::Kept | Step::Pinned(_)) => swept += STEP_UNITS,
            }
            if swept >= wanted {
                return;
            }
        }
    }
}
