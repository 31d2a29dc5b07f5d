//! The policy of shmemo as a plain model: one thread, exact order, no segments.
//!
//! Two FIFO logs, of newcomers and of what proved worth keeping; a two-bit use count for each object; a share of the
//! newcomers that adapts to *near* ghosts; and a late use counts for two early ones. `docs/design.md` has the pseudo-code.
//! With [`Tuning::SMALL`] small objects have it easier: where all sizes are alike that changes nothing.

use std::collections::VecDeque;

use super::Policy;
use crate::generate;

const NEWCOMERS: usize = 0;
const MAIN: usize = 1;
const MOST_USES: u8 = 3;
/// What the newest object counts for in the mean size of its log.
const NEWEST: f64 = 1.0 / 64.0;
/// There are so many epochs of evictions to a capacity.
const EPOCHS: f64 = 32.0;

/// The numbers of the policy. The defaults are those that shmemo uses.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Evictions from its log after which a ghost says nothing any more, in epochs: newcomers, main.
    pub ghost_epochs: [u64; 2],
    /// A ghost of a newcomer younger than this counts fully, in epochs.
    pub near_epochs: u64,
    /// What any other ghost of a newcomer counts.
    pub far_weight: f64,
    /// Newcomers used so often go to the main log.
    pub promotion: u8,
    /// ... or used once after so many epochs of evictions from their log; `u64::MAX`: never by that.
    pub late_epochs: u64,
    /// The use count that an object begins with whose ghost was of the main log.
    pub main_return: u8,
    /// What a near ghost moves the share by, in objects.
    pub step: f64,
    /// The share of newcomers at first, and its bounds.
    pub share: [f64; 3],
    /// Sweep in batches of this part of the capacity; 0 means object by object.
    pub batches: u64,
    /// The part of the mean size in its log below which an object is small; 0: sizes are not looked at.
    pub small: f64,
    /// Small newcomers used so often go to the main log.
    pub small_promotion: u8,
    /// In the main log the count of a small object is lowered by every so many-th sweep.
    pub small_sweeps: u64,
}

impl Tuning {
    /// Small objects need one use, not two, and are swept over four times for each use.
    pub const SMALL: Self = Self { small: 0.5, ..Self::PLAIN };
    const PLAIN: Self = Self {
        ghost_epochs: [24, 8],
        near_epochs: 4,
        far_weight: 1.0 / 32.0,
        promotion: 2,
        late_epochs: 8,
        main_return: 3,
        step: 4.0,
        share: [0.2, 0.01, 0.9],
        batches: 0,
        small: 0.0,
        small_promotion: 1,
        small_sweeps: 4,
    };
}

impl Default for Tuning {
    fn default() -> Self {
        Self::PLAIN
    }
}

#[derive(Clone, Copy, Debug)]
struct Ghost {
    log: usize,
    epoch: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Model {
    tuning: Tuning,
    capacity: u64,
    epoch_len: u64,
    share: f64,
    logs: [VecDeque<u32>; 2],
    held: [u64; 2],
    evicted: [u64; 2],
    sizes: Vec<u32>,
    uses: Vec<u8>,
    /// Of those in the log of newcomers, the epoch in which they came.
    came: Vec<Option<u64>>,
    ghosts: Vec<Option<Ghost>>,
    evictions: u64,
    moved: u64,
    mean_size: [f64; 2],
    swept: u64,
}

impl Model {
    /// An empty cache.
    pub fn new(capacity: u64, objects: usize, tuning: Tuning) -> Self {
        let mut model = Self {
            tuning,
            capacity,
            epoch_len: ((capacity as f64 / EPOCHS).round() as u64).max(1),
            share: 0.0,
            logs: Default::default(),
            held: [0; 2],
            evicted: [0; 2],
            sizes: vec![0; objects],
            uses: vec![0; objects],
            came: vec![None; objects],
            ghosts: vec![None; objects],
            evictions: 0,
            moved: 0,
            mean_size: [0.0; 2],
            swept: 0,
        };
        model.set_share(capacity as f64 * tuning.share[0]);
        model
    }

    /// How many units of newcomers there may be before they give way.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// How many units there are in the main log.
    pub fn held_main(&self) -> u64 {
        self.held[MAIN]
    }

    fn set_share(&mut self, share: f64) {
        let [_, least, most] = self.tuning.share.map(|part| (part * self.capacity as f64).max(1.0));
        self.share = share.max(least).min(most);
    }

    /// Takes the ghost of an object, and tells where the object is to go and with which count.
    fn admit(&mut self, id: u32, size: u32) -> (usize, u8) {
        let newcomer = (NEWCOMERS, 0);
        let Some(ghost) = self.ghosts[id as usize].take() else { return newcomer };
        let age = self.epoch(ghost.log) - ghost.epoch;
        if age >= self.tuning.ghost_epochs[ghost.log] {
            return newcomer;
        }
        let step = (self.tuning.step * f64::from(size)).max(self.capacity as f64 / 4096.0);
        if ghost.log == MAIN {
            self.set_share(self.share - step);
            return (MAIN, self.tuning.main_return);
        }
        let weight = if age < self.tuning.near_epochs { 1.0 } else { self.tuning.far_weight };
        self.set_share(self.share + step * weight);
        (MAIN, 0)
    }

    /// The epoch of a log: it has one for each 1/32 of the capacity that is evicted from it.
    fn epoch(&self, log: usize) -> u64 {
        self.evicted[log] / self.epoch_len
    }

    /// The use count of an object that is used now. A late use of a newcomer is enough by itself.
    fn uses_after(&self, at: usize) -> u8 {
        let is_late = self.came[at].is_some_and(|epoch| self.epoch(NEWCOMERS) - epoch >= self.tuning.late_epochs);
        let uses = (self.uses[at] + 1).min(MOST_USES);
        if is_late { uses.max(self.tuning.promotion) } else { uses }
    }

    fn log_to_sweep(&self) -> usize {
        let newcomers = self.held[NEWCOMERS] as f64 > self.share.max(1.0) || self.logs[MAIN].is_empty();
        if newcomers { NEWCOMERS } else { MAIN }
    }

    /// Puts an object at the end of a log.
    fn append(&mut self, log: usize, id: u32) {
        let size = self.sizes[id as usize];
        let mean = &mut self.mean_size[log];
        *mean += (f64::from(size) - *mean) * if *mean == 0.0 { 1.0 } else { NEWEST };
        self.held[log] += u64::from(size);
        self.logs[log].push_back(id);
        self.came[id as usize] = (log == NEWCOMERS).then(|| self.epoch(log));
    }

    /// The use count that the oldest of a log, just taken out, goes to the main log with, if it does.
    fn uses_if_spared(&self, log: usize, id: u32) -> Option<u8> {
        let uses = self.uses[id as usize];
        let is_small = f64::from(self.sizes[id as usize]) < self.mean_size[log] * self.tuning.small;
        if log == NEWCOMERS {
            let needed = if is_small { self.tuning.small_promotion } else { self.tuning.promotion };
            return (uses >= needed).then_some(0);
        }
        let is_passed_over = is_small && !generate::mix(self.swept).is_multiple_of(self.tuning.small_sweeps);
        uses.checked_sub(u8::from(uses == 0 || !is_passed_over))
    }

    /// Handles the oldest of a log. Tells whether it went.
    fn sweep_one(&mut self, log: usize) -> bool {
        let Some(oldest) = self.logs[log].pop_front() else { return false };
        let at = oldest as usize;
        let size = u64::from(self.sizes[at]);
        self.held[log] -= size;
        self.swept += 1;
        if let Some(uses) = self.uses_if_spared(log, oldest) {
            self.uses[at] = uses;
            self.moved += size;
            self.append(MAIN, oldest);
            return false;
        }
        self.ghosts[at] = Some(Ghost { log, epoch: self.epoch(log) });
        self.sizes[at] = 0;
        self.evicted[log] += size;
        self.evictions += 1;
        true
    }

    fn sweep_batch(&mut self) {
        let batch = (self.capacity / self.tuning.batches).max(1);
        let mut has_evicted = false;
        while !has_evicted {
            let log = self.log_to_sweep();
            let before = self.held[NEWCOMERS] + self.held[MAIN];
            let mut swept = 0;
            while swept < batch {
                let Some(&oldest) = self.logs[log].front() else { break };
                swept += u64::from(self.sizes[oldest as usize]);
                self.sweep_one(log);
            }
            has_evicted = self.held[NEWCOMERS] + self.held[MAIN] < before;
        }
    }
}

impl Policy for Model {
    fn request(&mut self, id: u32, size: u32) -> bool {
        let at = id as usize;
        if self.sizes[at] > 0 {
            self.uses[at] = self.uses_after(at);
            return true;
        }
        if u64::from(size) > self.capacity {
            return false;
        }
        let (log, uses) = self.admit(id, size);
        while self.held[NEWCOMERS] + self.held[MAIN] + u64::from(size) > self.capacity {
            if self.tuning.batches > 0 {
                self.sweep_batch();
            } else {
                self.sweep_one(self.log_to_sweep());
            }
        }
        self.sizes[at] = size;
        self.uses[at] = uses;
        self.append(log, id);
        false
    }

    fn evictions(&self) -> u64 {
        self.evictions
    }

    fn held(&self) -> u64 {
        super::sum(&self.sizes)
    }

    fn moved(&self) -> u64 {
        self.moved
    }
}
