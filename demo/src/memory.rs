//! How much memory workers take.

use std::fs;
use std::path::Path;

/// The memory of a process in bytes, without what it maps of `cache`: each page divided by the number of processes that
/// share it, so that the sum over all workers counts it once. `None` if the system does not tell.
pub fn proportional(pid: u32, cache: &Path) -> Option<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?;
    let found = sum(&maps, cache.to_str()?);
    (found > 0).then_some(found)
}

fn sum(maps: &str, cache: &str) -> u64 {
    let mut of_cache = false;
    let mut bytes = 0;
    for line in maps.lines() {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if !first.ends_with(':') {
            of_cache = rest.ends_with(cache);
        } else if first == "Pss:" && !of_cache {
            let number = rest.trim().split(' ').next().and_then(|number| number.parse::<u64>().ok());
            bytes += number.unwrap_or(0) * 1024;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_cache_is_left_out() {
        let maps = "5581-5582 r-xp 00000000 fe:00 12    /bin/demo\nRss:       10 kB\nPss:        3 kB\n\
                    7f01-7f02 rw-s 00000000 00:1b 34    /dev/shm/x/cache\nPss:      500 kB\n\
                    7f03-7f04 rw-p 00000000 00:00 0 \nPss:        4 kB\nPss_Dirty:   4 kB\n";
        assert_eq!(super::sum(maps, "/dev/shm/x/cache"), 7 * 1024);
    }
}
