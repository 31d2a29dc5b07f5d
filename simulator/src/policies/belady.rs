//! Belady ("A study of replacement algorithms for a virtual-storage computer", 1966): what nobody can surpass.

use std::collections::BinaryHeap;

use super::Policy;
use crate::trace::Trace;

/// Evicts what is used again last. Knows the trace, and must be asked exactly what stands there. Sizes are ignored: the
/// capacity is in objects.
#[derive(Debug)]
pub struct Belady {
    capacity: u64,
    held: u64,
    next_use: Vec<u32>,
    now: usize,
    /// When the object is used next, if it is there.
    due: Vec<Option<u32>>,
    order: BinaryHeap<(u32, u32)>,
    evictions: u64,
}

impl Belady {
    /// An empty cache.
    pub fn new(capacity: u64, trace: &Trace) -> Self {
        let mut last_seen = vec![u32::MAX; trace.objects()];
        let mut next_use = vec![u32::MAX; trace.ids.len()];
        for (at, &id) in trace.ids.iter().enumerate().rev() {
            next_use[at] = std::mem::replace(&mut last_seen[id as usize], at as u32);
        }
        let due = vec![None; trace.objects()];
        Self { capacity, held: 0, next_use, now: 0, due, order: BinaryHeap::new(), evictions: 0 }
    }
}

impl Policy for Belady {
    fn request(&mut self, id: u32, _size: u32) -> bool {
        let next = self.next_use[self.now];
        self.now += 1;
        let was_there = self.due[id as usize].is_some();
        if !was_there {
            while self.held >= self.capacity {
                let Some((due, victim)) = self.order.pop() else { break };
                // What was used since stands there again, with a later date.
                if self.due[victim as usize] == Some(due) {
                    self.due[victim as usize] = None;
                    self.held -= 1;
                    self.evictions += 1;
                }
            }
            self.held += 1;
        }
        self.due[id as usize] = Some(next);
        self.order.push((next, id));
        was_there
    }

    fn evictions(&self) -> u64 {
        self.evictions
    }
}
