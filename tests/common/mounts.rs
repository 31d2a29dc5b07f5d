//! A small file system of one's own, where the machine allows it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn mount(kind: &str, at: &Path, options: &str) -> bool {
    let text = |bytes: &[u8]| CString::new(bytes).expect("no zero");
    let (kind, at, options) = (text(kind.as_bytes()), text(at.as_os_str().as_bytes()), text(options.as_bytes()));
    // SAFETY: all pointers are to strings that end with a zero and live across the call.
    unsafe { libc::mount(c"none".as_ptr(), at.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) == 0 }
}

/// Gives this thread, and all processes that it starts from now on, mounts of their own, which vanish with them.
fn unshare() -> bool {
    // SAFETY: plain numbers, and pointers to strings that end with a zero or null where that is allowed.
    unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE, std::ptr::null())
                == 0
    }
}

/// A tmpfs of so many bytes on a directory, for this thread and the processes that it starts. False: it is not allowed.
pub fn small_tmpfs(at: &Path, bytes: u64) -> bool {
    unshare() && mount("tmpfs", at, &format!("size={bytes},mode=700"))
}

/// An overlay on `at`, made of directories that are created in `parts`. False: it is not allowed, or there is no overlayfs.
pub fn overlay(at: &Path, parts: &Path) -> bool {
    let part = |name: &str| {
        let dir = parts.join(name);
        std::fs::create_dir(&dir).expect("a directory");
        dir.display().to_string()
    };
    let options = format!("lowerdir={},upperdir={},workdir={}", part("lower"), part("upper"), part("work"));
    unshare() && mount("overlay", at, &options)
}

/// From now on nothing can be written on what is mounted there. False: it is not allowed, or nothing of this process's own is mounted there.
pub fn make_read_only(at: &Path) -> bool {
    let at = CString::new(at.as_os_str().as_bytes()).expect("no zero");
    let flags = libc::MS_REMOUNT | libc::MS_RDONLY;
    // SAFETY: all pointers are to strings that end with a zero and live across the call, or null where that is allowed.
    unsafe { libc::mount(c"none".as_ptr(), at.as_ptr(), std::ptr::null(), flags, std::ptr::null()) == 0 }
}
