//! First in, first out.

use std::collections::VecDeque;

use super::Policy;

/// Evicts what came first, used or not.
#[derive(Debug)]
pub struct Fifo {
    capacity: u64,
    used: u64,
    sizes: Vec<u32>,
    queue: VecDeque<u32>,
    evictions: u64,
}

impl Fifo {
    /// An empty cache.
    pub fn new(capacity: u64, objects: usize) -> Self {
        Self { capacity, used: 0, sizes: vec![0; objects], queue: VecDeque::new(), evictions: 0 }
    }
}

impl Policy for Fifo {
    fn request(&mut self, id: u32, size: u32) -> bool {
        if self.sizes[id as usize] > 0 {
            return true;
        }
        if u64::from(size) > self.capacity {
            return false;
        }
        while self.used + u64::from(size) > self.capacity {
            let Some(victim) = self.queue.pop_front() else { break };
            self.used -= u64::from(std::mem::take(&mut self.sizes[victim as usize]));
            self.evictions += 1;
        }
        self.sizes[id as usize] = size;
        self.used += u64::from(size);
        self.queue.push_back(id);
        false
    }

    fn evictions(&self) -> u64 {
        self.evictions
    }

    fn held(&self) -> u64 {
        super::sum(&self.sizes)
    }
}
