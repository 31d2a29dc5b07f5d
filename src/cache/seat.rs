//! The place of this process in the registry of a file: who it is, how it gets and leaves a line, and who of the others
//! is dead.
//!
//! A line belongs to whoever holds the kernel's lock on its first byte (an open-file-description lock, which the kernel
//! drops when the process dies, in whatever way). The descriptor of that lock is opened for it alone: it is never
//! mapped, duplicated or passed on. Who this process is stands in a page that every forked child finds zero, so a child
//! behaves as unattached by whatever kind of fork it came to be; it takes its own line at its first write. The handlers
//! around `fork` open the child's descriptor beforehand, so that the child needs neither path nor rights.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::local::Lanes;
use crate::error::NotAttached;
use crate::layout::{LINE_BYTES, Layout, header};
use crate::memory::MappedMemory;
use crate::os::clock::Clock;
use crate::os::fork::{self, ForkHandler};
use crate::os::identity::WipedPage;
use crate::os::lock::{self, Kind};
use crate::os::process::ProcessId;
use crate::os::{clock, file};
use crate::protocol::{Core, Memory, Owner, Tenant, Word};

/// Words of the page that a child finds zero.
mod page {
    /// Lock: one thread of this process attaches.
    pub const ATTACHING: usize = 0;
    /// Lock: one thread of this process asks whether others are alive.
    pub const RECLAIMING: usize = 1;
    /// Line and incarnation of this process.
    pub const OWNER: usize = 8;
    /// 1 if the clock's offset below is known, 2 if it cannot be.
    pub const CLOCK: usize = 9;
    /// Offset of this process's time namespace, in nanoseconds.
    pub const CLOCK_OFFSET: usize = 10;
}

/// The byte of the file that whoever attaches locks shared, and whoever begins a new boot locks exclusively.
const ATTACH_BYTE: u64 = 0;
/// Whoever attaches asks for the life of so many others: each question is a system call that walks the list of the
/// file's locks.
const PROBES: usize = 64;
const NO_FD: RawFd = -1;

/// See the module's page.
pub(super) struct Seat {
    /// The descriptor that the file is mapped by. Closed only if its number is still that of our file.
    file: ManuallyDrop<File>,
    /// Where the file was opened, if it has a name.
    path: Option<PathBuf>,
    device: u64,
    inode: u64,
    layout: Layout,
    /// What the threads of this process counted: a child has counted nothing yet.
    lanes: Arc<Lanes>,
    page: WipedPage,
    /// The descriptor that holds the lock of this process's line, or in a child that no handler prepared, a copy of its
    /// parent's.
    line_fd: AtomicI32,
    /// The descriptor that a child is going to lock its line by, while a fork is under way and in the child after it.
    child_fd: AtomicI32,
}

fn borrow(fd: &AtomicI32) -> Option<BorrowedFd<'_>> {
    let fd = fd.load(Ordering::Acquire);
    // SAFETY: a descriptor that stands here is open until it is taken from here. Should a stranger have closed it by
    // force, then calls on it fail or are answered for another file, which `is_line_fd_ours` finds out; no memory is at
    // stake.
    (fd != NO_FD).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Closes what stands here, unless its number belongs to another file by now.
fn close(fd: &AtomicI32, device: u64, inode: u64) {
    let fd = fd.swap(NO_FD, Ordering::AcqRel);
    if fd != NO_FD && fork::same_file(fd, device, inode) {
        // SAFETY: the number was ours to close, was taken from its only place by the swap, and is still open on our
        // file.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

fn encode(owner: Owner) -> u64 {
    owner.incarnation << 16 | u64::from(owner.line)
}

impl Seat {
    pub fn new(opened: file::OpenedFile, path: Option<PathBuf>, layout: Layout, lanes: Arc<Lanes>) -> io::Result<Arc<Self>> {
        let seat = Arc::new(Self {
            device: opened.device,
            inode: opened.inode,
            file: ManuallyDrop::new(opened.file),
            path,
            layout,
            lanes,
            page: WipedPage::new()?,
            line_fd: AtomicI32::new(NO_FD),
            child_fd: AtomicI32::new(NO_FD),
        });
        let handler: Arc<dyn ForkHandler> = seat.clone();
        fork::register(&handler)?;
        Ok(seat)
    }

    /// The descriptor that the file is mapped by.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether a path names this very file.
    pub fn is_file_at(&self, path: &Path) -> bool {
        file::is_same_file(path, self.device, self.inode)
    }

    /// Who this process is, if it has a line.
    #[inline]
    pub fn owner(&self) -> Option<Owner> {
        // Acquire: pairs with the release in `attach`.
        let word = self.page.word(page::OWNER).load(Ordering::Acquire);
        (word != 0).then_some(Owner { line: word as u16, incarnation: word >> 16 })
    }

    /// The time of the file, in milliseconds. `u64::MAX` where the clock cannot be trusted: then everything that
    /// expires has expired.
    pub fn now_ms(&self, core: &Core<MappedMemory>) -> u64 {
        if self.page.word(page::CLOCK).load(Ordering::Acquire) == 0 {
            self.read_clock_offset();
        }
        if self.page.word(page::CLOCK).load(Ordering::Relaxed) != 1 {
            return u64::MAX;
        }
        let offset = self.page.word(page::CLOCK_OFFSET).load(Ordering::Relaxed) as i64;
        let base = core.memory.word(header::CLOCK_BASE).load(Ordering::Relaxed);
        Clock::from_offset(Some(offset)).boot_ms().wrapping_add(base)
    }

    #[cold]
    fn read_clock_offset(&self) {
        let offset = Clock::new().offset_nanos();
        self.page.word(page::CLOCK_OFFSET).store(offset.unwrap_or(0) as u64, Ordering::Relaxed);
        // Release: pairs with the acquire in `now_ms`. Several threads may do this; all write the same.
        self.page.word(page::CLOCK).store(if offset.is_some() { 1 } else { 2 }, Ordering::Release);
    }

    /// Takes a line. Called at opening, and by the first write in a child.
    #[cold]
    pub fn attach(&self, core: &Core<MappedMemory>) -> Result<Owner, NotAttached> {
        let _guard = self.page.lock(page::ATTACHING).lock();
        if let Some(owner) = self.owner() {
            return Ok(owner);
        }
        // Without a line of our own, what stands here is a copy of the parent's descriptor: closed, so that its lock
        // ends with the parent.
        if self.line_fd.load(Ordering::Acquire) != NO_FD {
            close(&self.line_fd, self.device, self.inode);
            self.lanes.forget();
        }
        let fd = self.open_line_fd().map_err(NotAttached::Io)?;
        lock::lock_wait(fd.as_fd(), ATTACH_BYTE, 1, Kind::Shared).map_err(NotAttached::Io)?;
        self.begin_boot(core, fd.as_fd()).map_err(NotAttached::Io)?;
        let owner = self.take_any_line(core, fd.as_fd())?;
        lock::unlock(fd.as_fd(), ATTACH_BYTE, 1).map_err(NotAttached::Io)?;
        self.recover_some(core, fd.as_fd(), usize::from(owner.line));
        self.line_fd.store(fd.into_raw_fd(), Ordering::Release);
        // Release: pairs with the acquire in `owner`.
        self.page.word(page::OWNER).store(encode(owner), Ordering::Release);
        Ok(owner)
    }

    fn open_line_fd(&self) -> io::Result<OwnedFd> {
        let prepared = self.child_fd.swap(NO_FD, Ordering::AcqRel);
        if prepared != NO_FD && fork::same_file(prepared, self.device, self.inode) {
            // SAFETY: the handler opened it for this process alone, and the swap took it from its only place.
            return Ok(unsafe { OwnedFd::from_raw_fd(prepared) });
        }
        self.reopen().map(OwnedFd::from)
    }

    /// Opens the file once more: by the descriptor, or by the path if something closed that by force.
    fn reopen(&self) -> io::Result<File> {
        if fork::same_file(self.file.as_raw_fd(), self.device, self.inode) {
            return file::reopen(&self.file);
        }
        let path = self.path.as_deref().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        file::open_again(path, self.device, self.inode)
    }

    fn line_byte(&self, line: usize) -> u64 {
        (self.layout.registry_at + line * LINE_BYTES) as u64
    }

    fn take_any_line(&self, core: &Core<MappedMemory>, fd: BorrowedFd<'_>) -> Result<Owner, NotAttached> {
        let me = ProcessId::current();
        let tenant = Tenant { pid: me.pid, start_time: me.start_time, pid_namespace: me.pid_namespace };
        let try_line = |line: usize| lock::try_lock(fd, self.line_byte(line), 1, Kind::Exclusive).map_err(NotAttached::Io);
        // Lines that were given back first: they are free in all likelihood. Locks of one file are a list, so asking
        // for each costs the kernel a walk.
        for line in (0..core.layout.lines).filter(|&line| core.incarnation(line) == 0) {
            if try_line(line)? {
                return Ok(core.take_line(line, tenant));
            }
        }
        for line in 0..core.layout.lines {
            if try_line(line)? {
                if self.is_gone(core.tenant(line)) {
                    return Ok(core.take_line(line, tenant));
                }
                lock::unlock(fd, self.line_byte(line), 1).map_err(NotAttached::Io)?;
            }
        }
        Err(NotAttached::RegistryFull { max_processes: core.layout.lines as u32 })
    }

    /// A process that comes often takes the place of one that died: it looks whether others have died, and gives back
    /// what they held.
    fn recover_some(&self, core: &Core<MappedMemory>, fd: BorrowedFd<'_>, own: usize) {
        let taken = (0..core.lines_used()).filter(|&line| line != own && core.incarnation(line) != 0);
        for line in taken.take(PROBES) {
            if lock::try_lock(fd, self.line_byte(line), 1, Kind::Exclusive).unwrap_or(false) {
                if self.is_gone(core.tenant(line)) {
                    core.recover_line(line);
                }
                let _ = lock::unlock(fd, self.line_byte(line), 1);
            }
        }
    }

    /// Whether the process behind a line whose lock is free has ended. It may be alive: something may have closed its
    /// descriptor by force.
    fn is_gone(&self, tenant: Tenant) -> bool {
        let id = ProcessId { pid: tenant.pid, start_time: tenant.start_time, pid_namespace: tenant.pid_namespace };
        id.is_running() != Some(true)
    }

    /// If an owner is dead, gives back what it held. The lock of its line is held meanwhile, so nobody takes the line,
    /// and of several who recover only one does.
    pub fn reclaim(&self, core: &Core<MappedMemory>, suspect: Owner) -> bool {
        let line = usize::from(suspect.line);
        let is_own = self.owner().is_some_and(|me| me.line == suspect.line);
        if is_own || line >= core.layout.lines {
            return false;
        }
        // Locks of one descriptor do not conflict with each other: one thread at a time.
        let Some(_guard) = self.page.lock(page::RECLAIMING).try_lock() else { return false };
        let Some(fd) = borrow(&self.line_fd).filter(|_| self.owner().is_some()) else { return false };
        if !lock::try_lock(fd, self.line_byte(line), 1, Kind::Exclusive).unwrap_or(false) {
            return false;
        }
        let is_dead = core.incarnation(line) != suspect.incarnation || self.is_gone(core.tenant(line));
        let recovered = is_dead && core.recover_owner(suspect);
        // Should this fail, the line stays locked until this process ends, which costs one line.
        let _ = lock::unlock(fd, self.line_byte(line), 1);
        recovered
    }

    /// If the file is from another boot and nobody else is attached, begins anew: the cache starts empty, since pages
    /// that were not written back are torn, and the base of the clock is set from the wall clock. The caller holds the
    /// attach byte shared, and does so on return.
    fn begin_boot(&self, core: &Core<MappedMemory>, fd: BorrowedFd<'_>) -> io::Result<()> {
        let boot_id = clock::boot_id()?;
        let word = |at: usize| core.memory.word(at);
        let is_same = || [0, 1].map(|i| word(header::BOOT_ID + i * 8).load(Ordering::Acquire)) == boot_id;
        if boot_id == [0; 2] || is_same() {
            return Ok(());
        }
        let registry_end = self.line_byte(core.layout.lines);
        lock::unlock(fd, ATTACH_BYTE, 1)?;
        if lock::try_lock(fd, ATTACH_BYTE, registry_end, Kind::Exclusive)? {
            if !is_same() {
                core.start_empty();
                let base = clock::wall_ms().wrapping_sub(Clock::new().boot_ms());
                word(header::CLOCK_BASE).store(base, Ordering::Release);
                for (i, half) in boot_id.into_iter().enumerate() {
                    word(header::BOOT_ID + i * 8).store(half, Ordering::Release);
                }
            }
            lock::unlock(fd, ATTACH_BYTE, registry_end)?;
        }
        // Others are attached: then the boot id is that of another container, and nothing is changed.
        lock::lock_wait(fd, ATTACH_BYTE, 1, Kind::Shared)
    }

    /// Gives the line back and closes what this process opened. In a child that never attached it only closes.
    pub fn leave(&self, core: &Core<MappedMemory>) {
        if let Some(owner) = self.owner() {
            core.leave_line(owner);
            self.page.word(page::OWNER).store(0, Ordering::Release);
            // Given up by name: a child that another thread starts at this moment has a copy of the descriptor until it runs
            // its own program.
            if let Some(fd) = borrow(&self.line_fd).filter(|fd| fork::same_file(fd.as_raw_fd(), self.device, self.inode)) {
                let _ = lock::unlock(fd, 0, 0);
            }
        }
        close(&self.line_fd, self.device, self.inode);
        close(&self.child_fd, self.device, self.inode);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if fork::same_file(self.file.as_raw_fd(), self.device, self.inode) {
            // SAFETY: the last use of this field; the number is open, on the file that it was opened for.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

impl ForkHandler for Seat {
    fn prepare(&self) {
        // Should this fail, the child opens the file itself, if it still can.
        let fd = self.reopen().map_or(NO_FD, IntoRawFd::into_raw_fd);
        self.child_fd.store(fd, Ordering::Release);
    }

    fn in_parent(&self) {
        close(&self.child_fd, self.device, self.inode);
    }

    fn in_child(&self) {
        close(&self.line_fd, self.device, self.inode);
        self.lanes.forget();
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("fd", &self.file.as_raw_fd()).field("owner", &self.owner()).finish()
    }
}
