//! How much of a full cache is the user's own keys and values: prints the table of the README.
//!
//! ```console
//! $ cargo run --release --example sizes            # 1 MiB, 64 MiB and 1 GiB
//! $ cargo run --release --example sizes -- 1 64    # these capacities, in MiB
//! ```

use std::error::Error;

use shmemo::Cache;

const KEY_LEN: usize = 16;
/// The capacities of the README's table, in MiB.
const CAPACITIES: [u64; 3] = [1, 64, 1024];
/// So many looks at the cache are averaged.
const LOOKS: u64 = 64;

/// A column of the table: what is stored, and what the builder is told.
struct Column {
    title: &'static str,
    value_len: usize,
    expected_entry_size: Option<usize>,
    has_small_segments: bool,
}

const COLUMNS: [Column; 4] = [
    Column { title: "128 B ¹", value_len: 128, expected_entry_size: Some(160), has_small_segments: false },
    Column { title: "1 KiB", value_len: 1 << 10, expected_entry_size: None, has_small_segments: false },
    Column { title: "1 KiB ²", value_len: 1 << 10, expected_entry_size: None, has_small_segments: true },
    Column { title: "16 KiB", value_len: 16 << 10, expected_entry_size: None, has_small_segments: false },
];

/// What was found at each look, as a share of the capacity.
pub(crate) struct Shares {
    pub(crate) least: f64,
    pub(crate) mean: f64,
}

/// Fills a cache with entries of one size until it has evicted for a lap, then looks at it again and again during
/// another lap: how much is empty goes up and down as segments are freed and filled.
pub(crate) fn measure(cache: &Cache, value_len: usize) -> Result<Shares, Box<dyn Error>> {
    let value = vec![0x5a; value_len];
    let entry = (KEY_LEN + value_len) as u64;
    let lap = cache.capacity() / entry;
    let mut shares = Shares { least: 1.0, mean: 0.0 };
    for number in 0..2 * lap {
        cache.set(format!("{number:0KEY_LEN$}"), &value)?;
    }
    for look in 0..LOOKS {
        for number in look * lap / LOOKS..(look + 1) * lap / LOOKS {
            cache.set(format!("{:0KEY_LEN$}", 2 * lap + number), &value)?;
        }
        // All entries are of the same size.
        let share = (cache.len() as u64 * entry) as f64 / cache.capacity() as f64;
        shares.least = shares.least.min(share);
        shares.mean += share / LOOKS as f64;
    }
    Ok(shares)
}

/// The share in percent for each column, at this capacity.
pub(crate) fn row(mib: u64) -> Result<Vec<f64>, Box<dyn Error>> {
    let one = |column: &Column| {
        let mut builder = Cache::builder().capacity(mib << 20);
        if let Some(size) = column.expected_entry_size {
            builder = builder.expected_entry_size(size);
        }
        if column.has_small_segments {
            builder = builder.max_value_len((mib << 20) as usize / 256);
        }
        Ok(measure(&builder.anonymous()?, column.value_len)?.mean * 100.0)
    };
    COLUMNS.iter().map(one).collect()
}

/// How the README names a capacity.
pub(crate) fn name(mib: u64) -> String {
    if mib.is_multiple_of(1024) { format!("{} GiB", mib / 1024) } else { format!("{mib} MiB") }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut asked: Vec<u64> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    if asked.is_empty() {
        asked = CAPACITIES.to_vec();
    }
    println!("| capacity | {} |", COLUMNS.map(|column| column.title).join(" | "));
    println!("| --- |{}", " --- |".repeat(COLUMNS.len()));
    for mib in asked {
        let shares: Vec<String> = row(mib)?.iter().map(|share| format!("{share:.0} %")).collect();
        println!("| {} | {} |", name(mib), shares.join(" | "));
    }
    Ok(())
}
