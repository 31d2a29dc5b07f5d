//! SIEVE (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024).

use super::Policy;
use crate::links::{Links, List};

/// A queue in which objects keep their places; a hand goes from the oldest to the newest and takes what was not used.
#[derive(Debug)]
pub struct Sieve {
    capacity: u64,
    used: u64,
    sizes: Vec<u32>,
    is_used: Vec<bool>,
    links: Links,
    list: List,
    hand: Option<u32>,
    evictions: u64,
}

impl Sieve {
    /// An empty cache.
    pub fn new(capacity: u64, objects: usize) -> Self {
        Self {
            capacity,
            used: 0,
            sizes: vec![0; objects],
            is_used: vec![false; objects],
            links: Links::new(objects),
            list: List::EMPTY,
            hand: None,
            evictions: 0,
        }
    }

    fn evict_one(&mut self) {
        let Some(mut id) = self.hand.or(self.list.back()) else { return };
        while std::mem::take(&mut self.is_used[id as usize]) {
            let Some(next) = self.links.newer(id).or(self.list.back()) else { return };
            id = next;
        }
        self.hand = self.links.newer(id);
        self.links.remove(&mut self.list, id);
        self.used -= u64::from(std::mem::take(&mut self.sizes[id as usize]));
        self.evictions += 1;
    }
}

impl Policy for Sieve {
    fn request(&mut self, id: u32, size: u32) -> bool {
        let at = id as usize;
        if self.sizes[at] > 0 {
            self.is_used[at] = true;
            return true;
        }
        if u64::from(size) > self.capacity {
            return false;
        }
        while self.used + u64::from(size) > self.capacity {
            self.evict_one();
        }
        self.sizes[at] = size;
        self.used += u64::from(size);
        self.links.push_front(&mut self.list, id);
        false
    }

    fn evictions(&self) -> u64 {
        self.evictions
    }

    fn held(&self) -> u64 {
        super::sum(&self.sizes)
    }
}
