//! Least recently used.

use super::Policy;
use crate::links::{Links, List};

/// Evicts what was used least recently.
#[derive(Debug)]
pub struct Lru {
    capacity: u64,
    used: u64,
    /// Sizes of what is there, 0 for what is not.
    sizes: Vec<u32>,
    links: Links,
    list: List,
    evictions: u64,
}

impl Lru {
    /// An empty cache.
    pub fn new(capacity: u64, objects: usize) -> Self {
        Self { capacity, used: 0, sizes: vec![0; objects], links: Links::new(objects), list: List::EMPTY, evictions: 0 }
    }
}

impl Policy for Lru {
    fn request(&mut self, id: u32, size: u32) -> bool {
        if self.sizes[id as usize] > 0 {
            self.links.remove(&mut self.list, id);
            self.links.push_front(&mut self.list, id);
            return true;
        }
        if u64::from(size) > self.capacity {
            return false;
        }
        while self.used + u64::from(size) > self.capacity {
            let Some(victim) = self.links.pop_back(&mut self.list) else { break };
            self.used -= u64::from(std::mem::take(&mut self.sizes[victim as usize]));
            self.evictions += 1;
        }
        self.sizes[id as usize] = size;
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
