//! W-TinyLFU (Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", TOS 2017).

use super::Policy;
use super::sketch::Sketch;
use crate::links::{Links, List};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Window,
    Probation,
    Protected,
}

/// An LRU window for newcomers; what leaves it must have been asked for more often than the victim of the main part, a
/// segmented LRU of which 80 % are protected. Sizes are ignored: the capacity is in objects.
#[derive(Debug)]
pub struct TinyLfu {
    window_capacity: usize,
    main_capacity: usize,
    protected_capacity: usize,
    place: Vec<Place>,
    links: Links,
    window: List,
    probation: List,
    protected: List,
    sketch: Sketch,
    evictions: u64,
}

impl TinyLfu {
    /// An empty cache with a window of this part of the capacity.
    pub fn new(capacity: u64, objects: usize, window: f64) -> Self {
        let window_capacity = ((capacity as f64 * window) as usize).max(1);
        let main_capacity = (capacity as usize).saturating_sub(window_capacity);
        Self {
            window_capacity,
            main_capacity,
            protected_capacity: main_capacity * 8 / 10,
            place: vec![Place::Nowhere; objects],
            links: Links::new(objects),
            window: List::EMPTY,
            probation: List::EMPTY,
            protected: List::EMPTY,
            sketch: Sketch::new(capacity),
            evictions: 0,
        }
    }

    fn use_again(&mut self, id: u32) {
        match self.place[id as usize] {
            Place::Window => {
                self.links.remove(&mut self.window, id);
                self.links.push_front(&mut self.window, id);
            }
            Place::Protected => {
                self.links.remove(&mut self.protected, id);
                self.links.push_front(&mut self.protected, id);
            }
            Place::Probation => {
                self.links.remove(&mut self.probation, id);
                self.links.push_front(&mut self.protected, id);
                self.place[id as usize] = Place::Protected;
                if self.protected.len() > self.protected_capacity
                    && let Some(demoted) = self.links.pop_back(&mut self.protected)
                {
                    self.links.push_front(&mut self.probation, demoted);
                    self.place[demoted as usize] = Place::Probation;
                }
            }
            Place::Nowhere => {}
        }
    }

    /// What left the window is admitted, or not.
    fn admit(&mut self, candidate: u32) {
        if self.probation.len() + self.protected.len() >= self.main_capacity {
            let from_probation = !self.probation.is_empty();
            let list = if from_probation { &mut self.probation } else { &mut self.protected };
            let victim = list.back().filter(|&victim| self.sketch.estimate(candidate) > self.sketch.estimate(victim));
            self.evictions += 1;
            let Some(victim) = victim else {
                self.place[candidate as usize] = Place::Nowhere;
                return;
            };
            self.links.remove(list, victim);
            self.place[victim as usize] = Place::Nowhere;
        }
        self.links.push_front(&mut self.probation, candidate);
        self.place[candidate as usize] = Place::Probation;
    }
}

impl Policy for TinyLfu {
    fn request(&mut self, id: u32, _size: u32) -> bool {
        self.sketch.add(id);
        if self.place[id as usize] != Place::Nowhere {
            self.use_again(id);
            return true;
        }
        self.links.push_front(&mut self.window, id);
        self.place[id as usize] = Place::Window;
        if self.window.len() > self.window_capacity
            && let Some(candidate) = self.links.pop_back(&mut self.window)
        {
            self.admit(candidate);
        }
        false
    }

    fn evictions(&self) -> u64 {
        self.evictions
    }
}
