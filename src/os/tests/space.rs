//! Fake trees of cgroups.

use super::*;
use crate::os::tests::Scratch;

fn write(directory: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(directory).unwrap();
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
}

fn mount(root: &str, mount_point: &Path, kind: &str, options: &str) -> String {
    let mount_point = mount_point.to_str().unwrap().replace(' ', "\\040");
    format!(
        "22 27 0:21 / /proc rw - proc proc rw\n35 31 0:32 {root} {mount_point} rw,relatime shared:4 - {kind} none {options}\n"
    )
}

#[test]
fn version_two_takes_the_tightest_of_all_above() {
    let scratch = Scratch::new();
    let top = scratch.path("cgroup two");
    let stat = "anon 5\ninactive_file 100\nactive_file 20\nshmem 7\n";
    write(&top.join("a"), &[("memory.max", "1000\n"), ("memory.current", "900\n"), ("memory.stat", stat)]);
    write(&top.join("a/b"), &[("memory.max", "max\n"), ("memory.current", "900\n"), ("memory.stat", stat)]);
    write(&top.join("a/b/c"), &[("memory.max", "5000\n"), ("memory.high", "600\n"), ("memory.current", "10\n")]);
    let mounts = mount("/", &top, "cgroup2", "rw");
    let found = headroom_in("0::/a/b/c\n", &mounts).unwrap();
    assert_eq!(found, Headroom { limit: 1000, available: 220, cgroup: top.join("a") });
    write(&top.join("a"), &[("memory.max", "100000\n")]);
    let found = headroom_in("0::/a/b/c\n", &mounts).unwrap();
    assert_eq!(found, Headroom { limit: 600, available: 590, cgroup: top.join("a/b/c") });
    write(&top.join("a/b/c"), &[("memory.current", "900\n")]);
    assert_eq!(headroom_in("0::/a/b/c\n", &mounts).unwrap().available, 0);
}

#[test]
fn version_one_counts_what_lies_below() {
    let scratch = Scratch::new();
    let top = scratch.path("memory");
    let stat = "inactive_file 1\nactive_file 1\ntotal_inactive_file 30\ntotal_active_file 3\n";
    let none = "9223372036854771712\n";
    write(&top, &[("memory.limit_in_bytes", none), ("memory.usage_in_bytes", "99\n"), ("memory.stat", stat)]);
    write(&top.join("x"), &[("memory.limit_in_bytes", "500"), ("memory.usage_in_bytes", "133"), ("memory.stat", stat)]);
    let mounts = mount("/", &top, "cgroup", "rw,memory");
    let own = "9:name=systemd:/x\n4:cpu,memory:/x\n0::/x\n";
    assert_eq!(headroom_in(own, &mounts), Some(Headroom { limit: 500, available: 400, cgroup: top.join("x") }));
    assert_eq!(headroom_in("4:memory:/\n", &mounts), None);
}

#[test]
fn in_a_container_the_mount_point_is_its_own() {
    let scratch = Scratch::new();
    let top = scratch.path("two");
    write(&top, &[("memory.max", "77"), ("memory.current", "7")]);
    let expected = Some(Headroom { limit: 77, available: 70, cgroup: top.clone() });
    for (own, root) in [("0::/docker/abc", "/docker/abc"), ("0::/../..", "/"), ("0::/docker/abc", "/other"), ("0::/gone/x", "/")]
    {
        assert_eq!(headroom_in(own, &mount(root, &top, "cgroup2", "rw")), expected, "{own} {root}");
    }
}

#[test]
fn nonsense_is_no_limit() {
    let scratch = Scratch::new();
    write(&scratch.path("two"), &[("memory.max", "lots"), ("memory.current", "-1")]);
    let mounts = mount("/", &scratch.path("two"), "cgroup2", "rw");
    for own in ["", "0::/", "0:", "::::", "0::relative/x"] {
        assert_eq!(headroom_in(own, &mounts), None);
    }
    for mounts in ["", " - ", "1 2 3 - cgroup2 x y", "- cgroup2"] {
        assert_eq!(headroom_in("0::/", mounts), None);
    }
}

#[test]
fn free_memory_is_read() {
    let text = "MemTotal: 9 kB\nMemAvailable:  2 kB\nSwapTotal: 8 kB\nSwapFree:   1 kB\n";
    assert_eq!(parse_meminfo(text), Some(3072));
    assert_eq!(parse_meminfo("MemTotal: 9 kB\n"), None);
    assert!(memory_available().is_some_and(|bytes| bytes > 1 << 20));
}

#[test]
fn the_default_is_64_mib_where_there_is_room() {
    assert!(default_capacity(None) <= DEFAULT_CAPACITY);
    assert!(default_capacity(Some(Path::new("/dev/shm/x"))) <= DEFAULT_CAPACITY);
    assert_eq!(default_capacity(Some(Path::new("/no/such/directory/x"))), DEFAULT_CAPACITY);
}

#[test]
fn too_much_is_refused_with_figures() {
    let scratch = Scratch::new();
    let file = File::create(scratch.path("x")).unwrap();
    let error = check_room(file.as_fd(), Path::new("x"), true, u64::MAX).unwrap_err();
    assert!(matches!(error, OpenError::NoSpace { needed: u64::MAX, available, .. } if available < u64::MAX), "{error}");
    check_room(file.as_fd(), Path::new("x"), true, 4096).unwrap();
}
