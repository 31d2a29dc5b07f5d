//! CAR (Bansal and Modha, "CAR: Clock with Adaptive Replacement", FAST 2004).

use std::collections::VecDeque;

use super::Policy;
use crate::links::{Links, List};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Cached,
    GhostOfRecent,
    GhostOfFrequent,
}

/// Two clocks, for what was used once and for what was used again, and a list of ghosts for each. With sizes, each
/// number of objects of the paper is the sum of their sizes, and the target moves by the size of what came back.
#[derive(Debug)]
pub struct Car {
    capacity: u64,
    target: f64,
    sizes: Vec<u32>,
    /// Units in the two clocks.
    held: [u64; 2],
    /// Units of the two lists of ghosts.
    ghosts_held: [u64; 2],
    place: Vec<Place>,
    is_used: Vec<bool>,
    recent: VecDeque<u32>,
    frequent: VecDeque<u32>,
    links: Links,
    ghosts_of_recent: List,
    ghosts_of_frequent: List,
    evictions: u64,
}

const RECENT: usize = 0;
const FREQUENT: usize = 1;

impl Car {
    /// An empty cache.
    pub fn new(capacity: u64, objects: usize) -> Self {
        Self {
            capacity,
            target: 0.0,
            sizes: vec![0; objects],
            held: [0; 2],
            ghosts_held: [0; 2],
            place: vec![Place::Nowhere; objects],
            is_used: vec![false; objects],
            recent: VecDeque::new(),
            frequent: VecDeque::new(),
            links: Links::new(objects),
            ghosts_of_recent: List::EMPTY,
            ghosts_of_frequent: List::EMPTY,
            evictions: 0,
        }
    }

    fn size_of(&self, id: u32) -> u64 {
        u64::from(self.sizes[id as usize])
    }

    fn replace(&mut self) {
        loop {
            // Objects of different sizes may leave the second clock empty before the first has reached its target.
            let from_recent = self.held[RECENT] as f64 >= self.target.max(1.0) || self.frequent.is_empty();
            let clock = if from_recent { &mut self.recent } else { &mut self.frequent };
            let Some(oldest) = clock.pop_front() else { return };
            let (at, size) = (oldest as usize, self.size_of(oldest));
            self.held[usize::from(!from_recent)] -= size;
            if std::mem::take(&mut self.is_used[at]) {
                self.held[FREQUENT] += size;
                self.frequent.push_back(oldest);
                continue;
            }
            if from_recent {
                self.place[at] = Place::GhostOfRecent;
                self.links.push_front(&mut self.ghosts_of_recent, oldest);
            } else {
                self.place[at] = Place::GhostOfFrequent;
                self.links.push_front(&mut self.ghosts_of_frequent, oldest);
            }
            self.ghosts_held[usize::from(!from_recent)] += size;
            self.evictions += 1;
            return;
        }
    }

    /// Ghosts give way, so that with an object of this size there are not too many.
    fn forget_ghosts(&mut self, size: u64) {
        while self.held[RECENT] + self.ghosts_held[RECENT] + size > self.capacity {
            let Some(id) = self.links.pop_back(&mut self.ghosts_of_recent) else { break };
            self.ghosts_held[RECENT] -= self.size_of(id);
            self.place[id as usize] = Place::Nowhere;
        }
        while self.held.iter().chain(&self.ghosts_held).sum::<u64>() + size > 2 * self.capacity {
            let Some(id) = self.links.pop_back(&mut self.ghosts_of_frequent) else { break };
            self.ghosts_held[FREQUENT] -= self.size_of(id);
            self.place[id as usize] = Place::Nowhere;
        }
    }

    fn adapt_and_store(&mut self, id: u32, was: Place, size: u32) {
        let [b1, b2] = self.ghosts_held.map(|held| held as f64);
        let step = f64::from(size);
        match was {
            Place::GhostOfRecent => {
                self.target = (self.target + (b2 / b1).max(1.0) * step).min(self.capacity as f64);
                self.links.remove(&mut self.ghosts_of_recent, id);
                self.ghosts_held[RECENT] -= self.size_of(id);
            }
            Place::GhostOfFrequent => {
                self.target = (self.target - (b1 / b2).max(1.0) * step).max(0.0);
                self.links.remove(&mut self.ghosts_of_frequent, id);
                self.ghosts_held[FREQUENT] -= self.size_of(id);
            }
            _ => {}
        }
        let is_new = was == Place::Nowhere;
        self.held[usize::from(!is_new)] += u64::from(size);
        if is_new { &mut self.recent } else { &mut self.frequent }.push_back(id);
        self.sizes[id as usize] = size;
        self.place[id as usize] = Place::Cached;
        self.is_used[id as usize] = false;
    }
}

impl Policy for Car {
    fn request(&mut self, id: u32, size: u32) -> bool {
        let at = id as usize;
        let was = self.place[at];
        if was == Place::Cached {
            self.is_used[at] = true;
            return true;
        }
        if u64::from(size) > self.capacity {
            return false;
        }
        while self.held[RECENT] + self.held[FREQUENT] + u64::from(size) > self.capacity {
            self.replace();
        }
        if was == Place::Nowhere {
            self.forget_ghosts(u64::from(size));
        }
        self.adapt_and_store(id, was, size);
        false
    }

    fn evictions(&self) -> u64 {
        self.evictions
    }

    fn held(&self) -> u64 {
        let cached = self.place.iter().zip(&self.sizes).filter(|&(&place, _)| place == Place::Cached);
        cached.map(|(_, &size)| u64::from(size)).sum()
    }
}
