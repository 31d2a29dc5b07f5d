//! Control groups that bound memory, where the machine lets them be made.

use std::path::{Path, PathBuf};

/// A control group of this test's own, removed in the end.
pub struct Group(PathBuf);

impl Group {
    /// Where this machine lets one be made.
    pub fn new(limit: u64) -> Option<Self> {
        let name = format!("shmemo-test-{}", std::process::id());
        for (root, file) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
            let group = Self(Path::new(root).join(&name));
            if std::fs::create_dir(&group.0).is_ok() && std::fs::write(group.0.join(file), limit.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }

    /// Its directory.
    pub fn dir(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }

    /// Puts this process into the group of that directory.
    pub fn join(dir: &str) {
        std::fs::write(Path::new(dir).join("cgroup.procs"), "0").expect("joined the group");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}
