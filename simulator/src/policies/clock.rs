//! CLOCK (Corbató, "A Paging Experiment with the Multics System", 1968): a second chance for what was used.

use std::collections::VecDeque;

use super::Policy;

/// A FIFO whose oldest goes back to the end, with its use count lowered by one, unless that is zero.
#[derive(Debug)]
pub struct Clock {
    capacity: u64,
    used: u64,
    most_uses: u8,
    sizes: Vec<u32>,
    uses: Vec<u8>,
    queue: VecDeque<u32>,
    evictions: u64,
    moved: u64,
}

impl Clock {
    /// An empty cache that counts so many uses of an object: 1 for one bit, 3 for two.
    pub fn new(capacity: u64, objects: usize, most_uses: u8) -> Self {
        let (sizes, uses) = (vec![0; objects], vec![0; objects]);
        Self { capacity, used: 0, most_uses, sizes, uses, queue: VecDeque::new(), evictions: 0, moved: 0 }
    }

    fn evict_one(&mut self) {
        while let Some(oldest) = self.queue.pop_front() {
            let at = oldest as usize;
            if self.uses[at] == 0 {
                self.used -= u64::from(std::mem::take(&mut self.sizes[at]));
                self.evictions += 1;
                return;
            }
            self.uses[at] -= 1;
            self.moved += u64::from(self.sizes[at]);
            self.queue.push_back(oldest);
        }
    }
}

impl Policy for Clock {
    fn request(&mut self, id: u32, size: u32) -> bool {
        let at = id as usize;
        if self.sizes[at] > 0 {
            self.uses[at] = (self.uses[at] + 1).min(self.most_uses);
            return true;
        }
        if u64::from(size) > self.capacity {
            return false;
        }
        while self.used + u64::from(size) > self.capacity {
            self.evict_one();
        }
        self.sizes[at] = size;
        self.uses[at] = 0;
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

    fn moved(&self) -> u64 {
        self.moved
    }
}
