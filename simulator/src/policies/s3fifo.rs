//! S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).

use std::collections::VecDeque;

use super::Policy;

const NOWHERE: u8 = 0;
const SMALL: u8 = 1;
const MAIN: u8 = 2;

/// A small FIFO for newcomers (10 %), a main FIFO with second chances, and ghosts of newcomers (90 %). Two uses are
/// needed to get from the small one to the main one.
#[derive(Debug)]
pub struct S3Fifo {
    capacity: u64,
    small_capacity: u64,
    ghost_capacity: u64,
    used: [u64; 2],
    place: Vec<u8>,
    uses: Vec<u8>,
    sizes: Vec<u32>,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    /// Ghosts in order, each with the number of its eviction; one that was taken back stays until its turn comes.
    ghosts: VecDeque<(u32, u64)>,
    /// The number of the eviction that left the ghost of an object, 0 if there is none.
    ghost_of: Vec<u64>,
    ghost_used: u64,
    has_evicted: bool,
    evictions: u64,
    moved: u64,
}

impl S3Fifo {
    /// An empty cache.
    pub fn new(capacity: u64, objects: usize) -> Self {
        let small_capacity = ((capacity as f64 * 0.1) as u64).max(1);
        Self {
            capacity,
            small_capacity,
            ghost_capacity: (capacity as f64 * 0.9) as u64,
            used: [0; 2],
            place: vec![NOWHERE; objects],
            uses: vec![0; objects],
            sizes: vec![0; objects],
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghosts: VecDeque::new(),
            ghost_of: vec![0; objects],
            ghost_used: 0,
            has_evicted: false,
            evictions: 0,
            moved: 0,
        }
    }

    fn evict_from_small(&mut self) -> bool {
        while let Some(oldest) = self.small.pop_front() {
            let at = oldest as usize;
            self.used[0] -= u64::from(self.sizes[at]);
            if self.uses[at] >= 2 {
                self.place[at] = MAIN;
                self.uses[at] = 0;
                self.used[1] += u64::from(self.sizes[at]);
                self.moved += u64::from(self.sizes[at]);
                self.main.push_back(oldest);
            } else {
                self.place[at] = NOWHERE;
                self.evictions += 1;
                self.leave_ghost(oldest);
                return true;
            }
        }
        false
    }

    fn evict_from_main(&mut self) {
        while let Some(oldest) = self.main.pop_front() {
            let at = oldest as usize;
            if self.uses[at] == 0 {
                self.place[at] = NOWHERE;
                self.used[1] -= u64::from(self.sizes[at]);
                self.evictions += 1;
                return;
            }
            self.uses[at] -= 1;
            self.moved += u64::from(self.sizes[at]);
            self.main.push_back(oldest);
        }
    }

    fn leave_ghost(&mut self, id: u32) {
        let size = u64::from(self.sizes[id as usize]);
        while self.ghost_used + size > self.ghost_capacity {
            let Some((oldest, stamp)) = self.ghosts.pop_front() else { return };
            if self.ghost_of[oldest as usize] == stamp {
                self.ghost_of[oldest as usize] = 0;
                self.ghost_used -= u64::from(self.sizes[oldest as usize]);
            }
        }
        self.ghost_of[id as usize] = self.evictions;
        self.ghosts.push_back((id, self.evictions));
        self.ghost_used += size;
    }

    fn take_ghost(&mut self, id: u32) -> bool {
        let had = std::mem::take(&mut self.ghost_of[id as usize]) > 0;
        if had {
            self.ghost_used -= u64::from(self.sizes[id as usize]);
        }
        had
    }
}

impl Policy for S3Fifo {
    fn request(&mut self, id: u32, size: u32) -> bool {
        let at = id as usize;
        if self.place[at] != NOWHERE {
            self.uses[at] = (self.uses[at] + 1).min(3);
            return true;
        }
        let had_ghost = self.take_ghost(id);
        if u64::from(size) > self.capacity {
            return false;
        }
        while self.used[0] + self.used[1] + u64::from(size) > self.capacity {
            self.has_evicted = true;
            let main_is_over = self.used[1] > self.capacity - self.small_capacity || self.small.is_empty();
            if main_is_over {
                self.evict_from_main();
            } else {
                self.evict_from_small();
            }
        }
        // Before the first eviction, what the small queue has no room for goes to the main one.
        let to_main = had_ghost || (!self.has_evicted && self.used[0] >= self.small_capacity);
        self.place[at] = if to_main { MAIN } else { SMALL };
        self.uses[at] = 0;
        self.sizes[at] = size;
        self.used[usize::from(to_main)] += u64::from(size);
        if to_main {
            self.main.push_back(id)
        } else {
            self.small.push_back(id)
        }
        false
    }

    fn evictions(&self) -> u64 {
        self.evictions
    }

    fn held(&self) -> u64 {
        let there = self.place.iter().zip(&self.sizes).filter(|&(&place, _)| place != NOWHERE);
        there.map(|(_, &size)| u64::from(size)).sum()
    }

    fn moved(&self) -> u64 {
        self.moved
    }
}
