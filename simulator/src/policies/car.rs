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

/// Two clocks, for what was used once and for what was used again, and a list of ghosts for each. Sizes are ignored:
/// the capacity is in objects.
#[derive(Debug)]
pub struct Car {
    capacity: usize,
    target: f64,
    place: Vec<Place>,
    is_used: Vec<bool>,
    recent: VecDeque<u32>,
    frequent: VecDeque<u32>,
    links: Links,
    ghosts_of_recent: List,
    ghosts_of_frequent: List,
    evictions: u64,
}

impl Car {
    /// An empty cache.
    pub fn new(capacity: u64, objects: usize) -> Self {
        Self {
            capacity: capacity as usize,
            target: 0.0,
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

    fn replace(&mut self) {
        loop {
            let from_recent = self.recent.len() as f64 >= self.target.max(1.0);
            let clock = if from_recent { &mut self.recent } else { &mut self.frequent };
            let Some(oldest) = clock.pop_front() else { return };
            let at = oldest as usize;
            if std::mem::take(&mut self.is_used[at]) {
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
            self.evictions += 1;
            return;
        }
    }

    fn forget_a_ghost(&mut self) {
        let ghosts = self.ghosts_of_recent.len() + self.ghosts_of_frequent.len();
        let forgotten = if self.recent.len() + self.ghosts_of_recent.len() == self.capacity {
            self.links.pop_back(&mut self.ghosts_of_recent)
        } else if self.recent.len() + self.frequent.len() + ghosts >= 2 * self.capacity {
            self.links.pop_back(&mut self.ghosts_of_frequent)
        } else {
            None
        };
        if let Some(id) = forgotten {
            self.place[id as usize] = Place::Nowhere;
        }
    }

    fn adapt_and_store(&mut self, id: u32, was: Place) {
        let (b1, b2) = (self.ghosts_of_recent.len() as f64, self.ghosts_of_frequent.len() as f64);
        match was {
            Place::GhostOfRecent => {
                self.target = (self.target + (b2 / b1).max(1.0)).min(self.capacity as f64);
                self.links.remove(&mut self.ghosts_of_recent, id);
                self.frequent.push_back(id);
            }
            Place::GhostOfFrequent => {
                self.target = (self.target - (b1 / b2).max(1.0)).max(0.0);
                self.links.remove(&mut self.ghosts_of_frequent, id);
                self.frequent.push_back(id);
            }
            _ => self.recent.push_back(id),
        }
        self.place[id as usize] = Place::Cached;
        self.is_used[id as usize] = false;
    }
}

impl Policy for Car {
    fn request(&mut self, id: u32, _size: u32) -> bool {
        let at = id as usize;
        let was = self.place[at];
        if was == Place::Cached {
            self.is_used[at] = true;
            return true;
        }
        if self.recent.len() + self.frequent.len() == self.capacity {
            self.replace();
            if was == Place::Nowhere {
                self.forget_a_ghost();
            }
        }
        self.adapt_and_store(id, was);
        false
    }

    fn evictions(&self) -> u64 {
        self.evictions
    }
}
