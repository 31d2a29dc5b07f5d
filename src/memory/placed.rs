//! A mapping of a file that starts where huge pages can serve it.
//!
//! The kernel maps a file by huge pages only where the address and the offset in the file are alike modulo their size, and
//! sees to that by itself only for file systems mounted with huge pages. A random access to a cache of some hundred
//! megabytes otherwise misses the translation buffers nearly always.

use std::fs::File;
use std::io;

use memmap2::{Advice, MmapOptions, MmapRaw};

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;
/// `MADV_COLLAPSE`, from Linux 6.1 on; not every C library has a name for it.
const COLLAPSE: libc::c_int = 25;

/// A shared, writable mapping of the start of a file. Unmapped when dropped.
#[derive(Debug)]
pub(super) struct Placed {
    base: *mut u8,
    len: usize,
    /// The mapping itself, or an area of addresses with the mapping inside.
    _area: MmapRaw,
}

impl Placed {
    /// Maps the first `len` bytes of `file`. Children inherit the mapping; core dumps leave it out.
    pub(super) fn map(file: &File, len: usize) -> io::Result<Self> {
        let placed = match Self::map_aligned(file, len) {
            Some(placed) => placed,
            None => {
                let area = MmapOptions::new().len(len).map_raw(file)?;
                Self { base: area.as_mut_ptr(), len, _area: area }
            }
        };
        // A core dump with the cache in it is a nuisance, not an error.
        placed.advise(libc::MADV_DONTDUMP).ok();
        // Where the administrator lets those have huge pages who ask; elsewhere nothing.
        placed.advise(libc::MADV_HUGEPAGE).ok();
        Ok(placed)
    }

    /// The same from a multiple of a huge page on, or nothing where a limit on addresses does not let it, or huge pages would
    /// not help.
    fn map_aligned(file: &File, len: usize) -> Option<Self> {
        use std::os::fd::AsRawFd;

        if len < HUGE {
            return None;
        }
        let area = MmapOptions::new().len(len.checked_add(HUGE)?).no_reserve_swap().map_anon().ok()?;
        let area = MmapRaw::from(area);
        area.advise(Advice::DontDump).ok();
        let start = area.as_mut_ptr();
        let skipped = start.addr().next_multiple_of(HUGE) - start.addr();
        let base = start.wrapping_add(skipped);
        // SAFETY: the pages from `base` on, less than HUGE after the start of an area of `len` + HUGE bytes, belong to `area` alone,
        // which nothing else refers to; they are replaced by pages of the file, and unmapped with the area (I1).
        let mapped = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(base.cast(), len, access, libc::MAP_SHARED | libc::MAP_FIXED, file.as_raw_fd(), 0)
        };
        (mapped == base.cast()).then_some(Self { base, len, _area: area })
    }

    /// Where the mapping starts.
    pub(super) fn base(&self) -> *mut u8 {
        self.base
    }

    fn advise(&self, advice: libc::c_int) -> io::Result<()> {
        // SAFETY: the range is that of this mapping, which stands as long as `_area`; none of the advices that are given here changes
        // its bytes.
        match unsafe { libc::madvise(self.base.cast(), self.len, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Allocates and maps every page, by huge pages where the kernel can make them (Linux 6.1).
    pub(super) fn populate(&self) -> io::Result<()> {
        // An attempt: too little memory in one piece, or another file system, and the pages stay small.
        self.advise(COLLAPSE).ok();
        self.advise(libc::MADV_POPULATE_WRITE)
    }
}
