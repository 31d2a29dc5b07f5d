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

use super::boot;
use super::local::Lanes;
use super::time::FileClock;
use crate::error::NotAttached;
use crate::layout::{LINE_BYTES, Layout};
use crate::memory::MappedMemory;
use crate::os::file;
use crate::os::fork::{self, ForkHandler};
use crate::os::identity::WipedPage;
use crate::os::lock::{self, Kind};
use crate::os::process::ProcessId;
use crate::protocol::{Core, Owner, Tenant};

/// Words of the page that a child finds zero.
pub(super) mod page {
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
    /// 1 if the descriptor that the line is locked by is this very process's own. Else that is a copy of its parent's.
    pub const HAS_LINE_FD: usize = 11;
    /// The same of the descriptor that is kept for a line.
    pub const HAS_SPARE_FD: usize = 12;
}

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
    pub(super) memory_backed: bool,
    layout: Layout,
    /// What the threads of this process counted: a child has counted nothing yet.
    lanes: Arc<Lanes>,
    page: Arc<WipedPage>,
    pub(super) clock: FileClock,
    /// The descriptor that holds the lock of this process's line, or is to hold it; in a child that no handler prepared, a
    /// copy of its parent's.
    line_fd: AtomicI32,
    /// In a child that has no line yet, the descriptor that it is going to lock one by, opened before it was forked.
    spare_fd: AtomicI32,
    /// While a fork is under way, the descriptor that is going to be the child's spare one.
    child_fd: AtomicI32,
}

fn borrow(fd: &AtomicI32) -> Option<BorrowedFd<'_>> {
    let fd = fd.load(Ordering::Acquire);
    // SAFETY: a descriptor that stands here is open until it is taken from here. Should a stranger have closed it by
    // force, then calls on it fail or are answered for another file, which `same_file` finds out; no memory is at stake.
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
        let page = Arc::new(WipedPage::new()?);
        let seat = Arc::new(Self {
            device: opened.device,
            inode: opened.inode,
            memory_backed: opened.memory_backed,
            file: ManuallyDrop::new(opened.file),
            path,
            layout,
            lanes,
            clock: FileClock::new(page.clone()),
            page,
            line_fd: AtomicI32::new(NO_FD),
            spare_fd: AtomicI32::new(NO_FD),
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

    /// Takes a line. Called at opening, and by the first write in a child. A failure leaves things so that the next call can
    /// try again, even where the file cannot be opened any more.
    #[cold]
    pub fn attach(&self, core: &Core<MappedMemory>) -> Result<Owner, NotAttached> {
        let _guard = self.page.lock(page::ATTACHING).lock();
        if let Some(owner) = self.owner() {
            return Ok(owner);
        }
        self.drop_copies();
        self.open_line_fd().map_err(NotAttached::Io)?;
        let fd = borrow(&self.line_fd).ok_or_else(|| NotAttached::Io(io::Error::from_raw_os_error(libc::EBADF)))?;
        let taken = self.take_line_by(core, fd);
        if taken.is_err() {
            let _ = lock::unlock(fd, 0, 0);
        }
        let owner = taken?;
        // Release: pairs with the acquire in `owner`.
        self.page.word(page::OWNER).store(encode(owner), Ordering::Release);
        Ok(owner)
    }

    fn take_line_by(&self, core: &Core<MappedMemory>, fd: BorrowedFd<'_>) -> Result<Owner, NotAttached> {
        boot::enter(core, fd, self.memory_backed).map_err(NotAttached::Io)?;
        let owner = self.take_any_line(core, fd)?;
        boot::leave(fd).map_err(NotAttached::Io)?;
        self.recover_some(core, fd, usize::from(owner.line));
        Ok(owner)
    }

    /// In a child that ran no fork handler: closes its copies of the descriptors that its parent's line is locked by or is going
    /// to be, so that the lock ends with the parent, and forgets what the parent counted. The caller holds the lock for attaching.
    fn drop_copies(&self) {
        let is_copy =
            |fd: &AtomicI32, mark| fd.load(Ordering::Acquire) != NO_FD && self.page.word(mark).load(Ordering::Relaxed) == 0;
        for (fd, mark) in [(&self.line_fd, page::HAS_LINE_FD), (&self.spare_fd, page::HAS_SPARE_FD)] {
            if is_copy(fd, mark) {
                close(fd, self.device, self.inode);
                self.lanes.forget();
            }
        }
    }

    /// What [`Seat::attach`] does with copies, for a child that only reads. Called now and then.
    #[cold]
    pub fn drop_copies_if_child(&self) {
        if let Some(_guard) = self.page.lock(page::ATTACHING).try_lock()
            && self.owner().is_none()
        {
            self.drop_copies();
        }
    }

    /// Sees to it that there is a descriptor of this process alone. Nobody forks between its opening and the moment that a
    /// fork's handler finds it, else a child would have a copy that nothing closes, and with it the lock.
    fn open_line_fd(&self) -> io::Result<()> {
        if borrow(&self.line_fd).is_some_and(|fd| fork::same_file(fd.as_raw_fd(), self.device, self.inode)) {
            return Ok(());
        }
        fork::between_forks(|| {
            let spare = self.spare_fd.swap(NO_FD, Ordering::AcqRel);
            let is_ready = spare != NO_FD && fork::same_file(spare, self.device, self.inode);
            let fd = if is_ready { spare } else { self.reopen()?.into_raw_fd() };
            self.keep_line_fd(fd);
            Ok(())
        })?
    }

    fn keep_line_fd(&self, fd: RawFd) {
        self.line_fd.store(fd, Ordering::Release);
        self.page.word(page::HAS_LINE_FD).store(1, Ordering::Relaxed);
    }

    /// Opens the file once more: by the descriptor, or by the path if `/proc` is out of sight or something closed the descriptor
    /// by force.
    fn reopen(&self) -> io::Result<File> {
        let is_open = fork::same_file(self.file.as_raw_fd(), self.device, self.inode);
        let by_descriptor = if is_open { file::reopen(&self.file) } else { Err(io::Error::from_raw_os_error(libc::EBADF)) };
        by_descriptor.or_else(|error| match self.path.as_deref() {
            Some(path) => file::open_again(path, self.device, self.inode),
            None => Err(error),
        })
    }

    fn line_byte(&self, line: usize) -> u64 {
        (self.layout.registry_at + line * LINE_BYTES) as u64
    }

    fn take_any_line(&self, core: &Core<MappedMemory>, fd: BorrowedFd<'_>) -> Result<Owner, NotAttached> {
        let me = ProcessId::current();
        let tenant = Tenant { pid: me.pid, start_time: me.start_time, pid_namespace: me.pid_namespace, image: me.image };
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

    /// Whether the process behind a line whose lock is free has ended, or runs another program. It may be alive: something may
    /// have closed its descriptor by force.
    fn is_gone(&self, tenant: Tenant) -> bool {
        let Tenant { pid, start_time, pid_namespace, image } = tenant;
        ProcessId { pid, start_time, pid_namespace, image }.is_running() != Some(true)
    }

    /// If an owner is dead, gives back what it held. The lock of its line is held meanwhile, so nobody takes the line,
    /// and of several who recover only one does.
    pub fn reclaim(&self, core: &Core<MappedMemory>, suspect: Owner) -> bool {
        let line = usize::from(suspect.line);
        let Some(me) = self.owner() else { return false };
        if line >= core.layout.lines || suspect == me {
            return false;
        }
        if suspect.line == me.line {
            return core.recover_former(suspect); // whatever the line says: it is this process's
        }
        // Locks of one descriptor do not conflict with each other: one thread at a time.
        let Some(_guard) = self.page.lock(page::RECLAIMING).try_lock() else { return false };
        if !self.holds_line(core, me) {
            return false;
        }
        let Some(fd) = borrow(&self.line_fd) else { return false };
        if !lock::try_lock(fd, self.line_byte(line), 1, Kind::Exclusive).unwrap_or(false) {
            return false;
        }
        let recovered = if core.incarnation(line) != suspect.incarnation {
            core.recover_former(suspect)
        } else {
            (suspect.incarnation == 0 || self.is_gone(core.tenant(line))) && core.recover_line(line)
        };
        // Should this fail, the line stays locked until this process ends, which costs one line.
        let _ = lock::unlock(fd, self.line_byte(line), 1);
        recovered
    }

    /// Sees to it that others take this process for alive, should something have closed its descriptor by force.
    pub fn keep_line(&self, core: &Core<MappedMemory>) {
        if let Some(me) = self.owner()
            && let Some(_guard) = self.page.lock(page::RECLAIMING).try_lock()
        {
            self.holds_line(core, me);
        }
    }

    /// Whether the lock of this process's line is held by a descriptor of our file, if need be a new one. Something may have
    /// closed the old one by force, and then a lock by that number says nothing, as it is one on a stranger's file. If the line
    /// was given to another meanwhile, the next write takes a new one. The caller holds the lock for reclaiming.
    fn holds_line(&self, core: &Core<MappedMemory>, me: Owner) -> bool {
        if borrow(&self.line_fd).is_some_and(|fd| fork::same_file(fd.as_raw_fd(), self.device, self.inode)) {
            return true;
        }
        let locked = fork::between_forks(|| {
            let file = self.reopen()?;
            let is_locked = lock::try_lock(file.as_fd(), self.line_byte(usize::from(me.line)), 1, Kind::Exclusive)?;
            let is_mine = is_locked && core.incarnation(usize::from(me.line)) == me.incarnation;
            if is_mine {
                self.keep_line_fd(file.into_raw_fd());
            }
            Ok(is_mine)
        });
        match locked.and_then(|locked: io::Result<bool>| locked) {
            Ok(true) => true,
            Ok(false) => {
                self.page.word(page::OWNER).store(0, Ordering::Release);
                false
            }
            // Without a descriptor it cannot be asked.
            Err(_) => false,
        }
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
        close(&self.spare_fd, self.device, self.inode);
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
        self.clock.prepare();
    }

    fn in_parent(&self) {
        close(&self.child_fd, self.device, self.inode);
    }

    fn in_child(&self) {
        close(&self.line_fd, self.device, self.inode);
        close(&self.spare_fd, self.device, self.inode);
        let own = self.child_fd.swap(NO_FD, Ordering::AcqRel);
        self.spare_fd.store(own, Ordering::Release);
        self.page.word(page::HAS_SPARE_FD).store(1, Ordering::Relaxed);
        self.clock.in_child();
        self.lanes.forget();
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("fd", &self.file.as_raw_fd()).field("owner", &self.owner()).finish()
    }
}
