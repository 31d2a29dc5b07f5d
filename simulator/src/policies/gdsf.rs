//! GDSF (Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy", HP 1998).

use std::collections::BTreeSet;

use super::Policy;

/// Evicts what has the least `age + uses / size`; the age rises to what was evicted last. With equal sizes this is LFU
/// with dynamic aging.
#[derive(Debug)]
pub struct Gdsf {
    capacity: u64,
    used: u64,
    age: f64,
    sizes: Vec<u32>,
    uses: Vec<u32>,
    priority: Vec<u64>,
    /// Priorities as bits: those of positive numbers are in the order of the numbers. Then the number of the request.
    order: BTreeSet<(u64, u64, u32)>,
    stamp: Vec<u64>,
    requests: u64,
    evictions: u64,
}

impl Gdsf {
    /// An empty cache.
    pub fn new(capacity: u64, objects: usize) -> Self {
        Self {
            capacity,
            used: 0,
            age: 0.0,
            sizes: vec![0; objects],
            uses: vec![0; objects],
            priority: vec![0; objects],
            order: BTreeSet::new(),
            stamp: vec![0; objects],
            requests: 0,
            evictions: 0,
        }
    }

    fn place(&mut self, id: u32) {
        let at = id as usize;
        self.priority[at] = (self.age + f64::from(self.uses[at]) / f64::from(self.sizes[at])).to_bits();
        self.stamp[at] = self.requests;
        self.order.insert((self.priority[at], self.stamp[at], id));
    }
}

impl Policy for Gdsf {
    fn request(&mut self, id: u32, size: u32) -> bool {
        let at = id as usize;
        self.requests += 1;
        if self.sizes[at] > 0 {
            self.order.remove(&(self.priority[at], self.stamp[at], id));
            self.uses[at] += 1;
            self.place(id);
            return true;
        }
        if u64::from(size) > self.capacity {
            return false;
        }
        while self.used + u64::from(size) > self.capacity {
            let Some((priority, _, victim)) = self.order.pop_first() else { break };
            self.age = f64::from_bits(priority);
            self.used -= u64::from(std::mem::take(&mut self.sizes[victim as usize]));
            self.evictions += 1;
        }
        self.sizes[at] = size;
        self.uses[at] = 1;
        self.used += u64::from(size);
        self.place(id);
        false
    }

    fn evictions(&self) -> u64 {
        self.evictions
    }

    fn held(&self) -> u64 {
        super::sum(&self.sizes)
    }
}
