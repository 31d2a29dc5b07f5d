//! A count-min sketch of four-bit counters that are halved now and then.

/// Rows of the sketch.
const ROWS: usize = 4;
const MOST: u8 = 15;
const SEEDS: [u64; ROWS] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];

/// How often objects were asked for, as far as it can be told in a few bytes for each.
#[derive(Debug)]
pub struct Sketch {
    counters: Vec<u8>,
    mask: u64,
    added: u64,
    period: u64,
}

impl Sketch {
    /// A sketch for a cache of so many objects; counters are halved after ten times as many requests.
    pub fn new(capacity: u64) -> Self {
        let width = (capacity.max(16) * 2).next_power_of_two();
        Self { counters: vec![0; width as usize * ROWS], mask: width - 1, added: 0, period: capacity.max(16) * 10 }
    }

    fn at(&self, id: u32, row: usize) -> usize {
        let mixed = (u64::from(id) + 1).wrapping_mul(SEEDS[row]);
        ((mixed ^ mixed >> 29) & self.mask) as usize * ROWS + row
    }

    /// Counts a request.
    pub fn add(&mut self, id: u32) {
        let least = self.estimate(id);
        if least < MOST {
            for row in 0..ROWS {
                let at = self.at(id, row);
                if self.counters[at] == least {
                    self.counters[at] += 1;
                }
            }
        }
        self.added += 1;
        if self.added == self.period {
            self.added /= 2;
            for counter in &mut self.counters {
                *counter /= 2;
            }
        }
    }

    /// How often an object was asked for, at most 15.
    pub fn estimate(&self, id: u32) -> u8 {
        (0..ROWS).map(|row| self.counters[self.at(id, row)]).min().unwrap_or(0)
    }
}
