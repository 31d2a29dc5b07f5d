use super::*;

fn plan(capacity: u64) -> Geometry {
    Geometry::plan(&Request { capacity, ..Request::default() }).expect("a capacity in range")
}

#[test]
fn every_capacity_gives_a_layout_that_fits() {
    for shift in 20..=40 {
        for odd in [0, 4096 * 3 + 17] {
            let capacity = (1u64 << shift) + if shift < 40 { odd } else { 0 };
            let layout = plan(capacity).layout().expect("a planned geometry is valid");
            assert!(layout.total as u64 <= capacity, "{layout:?}");
            assert!(layout.segments >= 24, "{} segments at {capacity}", layout.segments);
            assert!(layout.lines * LINE_BYTES <= capacity as usize / 50);
            assert!(layout.total as f64 / capacity as f64 > 0.99, "{} of {capacity} used", layout.total);
        }
    }
}

#[test]
fn the_registry_grows_with_the_capacity() {
    assert_eq!(plan(1 << 20).lines, 64);
    assert_eq!(plan(256 << 20).lines, 4096);
    assert_eq!(plan(1 << 40).lines, 4096);
}

#[test]
fn the_largest_value_is_allowed_and_one_more_is_not() {
    let with = |len| Geometry::plan(&Request { capacity: 1 << 20, max_value_len: Some(len), ..Request::default() });
    let layout = with(1 << 16).and_then(|g| g.layout().map_err(|_| unreachable!())).expect("1/16 of the capacity");
    assert!(layout.segments >= 6, "{}", layout.segments);
    assert!(matches!(with((1 << 16) + 1), Err(OpenError::InvalidOption { option: "max_value_len", .. })));
    assert!(matches!(with(0), Err(OpenError::InvalidOption { option: "max_value_len", .. })));
}

#[test]
fn capacity_has_bounds() {
    let with = |capacity| Geometry::plan(&Request { capacity, ..Request::default() });
    assert!(matches!(with(0), Err(OpenError::CapacityTooSmall { given: 0, .. })));
    assert!(matches!(with(MIN_CAPACITY - 1), Err(OpenError::CapacityTooSmall { .. })));
    assert!(matches!(with(MAX_CAPACITY + 1), Err(OpenError::CapacityTooLarge { .. })));
}

#[test]
fn rotten_numbers_are_refused() {
    let good = plan(64 << 20);
    assert!(good.layout().is_ok());
    let spoilers: [fn(&mut Geometry); 11] = [
        |g| g.segments = 257,
        |g| g.segments = 0,
        |g| g.segment_bytes = u64::MAX,
        |g| g.segment_bytes += 1,
        |g| g.buckets = u64::MAX,
        |g| g.ghost_sets = 0,
        |g| g.lines = 1 << 40,
        |g| g.max_value_len = 1 << 39,
        |g| g.max_entries = 1 << 32,
        |g| g.capacity /= 2,
        |g| g.capacity += 1,
    ];
    for spoil in spoilers {
        let mut bad = good;
        spoil(&mut bad);
        assert!(bad.layout().is_err(), "{bad:?}");
    }
}
