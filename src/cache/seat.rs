//! The place of this process in the registry of a file: how it gets and leaves a line, and who of the others is dead.
//!
//! A line belongs to whoever holds the kernel's lock on its first byte: an open-file-description lock, of a description that
//! is opened for it alone and kept by a mapping that no child inherits (an [anchor](crate::os::anchor)). So the lock is
//! there for exactly as long as the memory of the process that took it, and nobody's life is ever guessed. Who this
//! process is stands in a page that every forked child finds zero, so a child behaves as unattached by whatever kind of
//! fork it came to be; it takes its own line at its first write. The handlers around `fork` open the child's descriptor
//! beforehand, so that the child needs neither path nor rights.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::boot;
use super::descriptor::{Descriptor, FileId};
use super::local::Lanes;
use super::time::FileClock;
use crate::error::NotAttached;
use crate::layout::{LINE_BYTES, Layout};
use crate::memory::MappedMemory;
use crate::os::anchor::Anchor;
use crate::os::file;
use crate::os::filesystem;
use crate::os::fork::{self, ForkHandler};
use crate::os::identity::WipedPage;
use crate::os::lock::{self, Kind};
use crate::protocol::{Core, Owner};

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
    /// What keeps the lock of this process's line.
    pub const LINE_ANCHOR: usize = 11;
    /// 1 if the descriptor in the place of that name is this very process's own.
    pub const HAS_LINE: usize = 12;
    /// The same of the next.
    pub const HAS_PROBE: usize = 13;
    /// The same of the next.
    pub const HAS_SPARE: usize = 14;
    /// The same of the last.
    pub const HAS_CHILD: usize = 15;
    /// What keeps the locks under which this process recovers what others held.
    pub const PROBE_ANCHOR: usize = 16;
    /// 1 if one description serves for the line and for asking after others.
    pub const IS_SHARED: usize = 17;
}

/// Whoever attaches asks for the life of so many others: each question is a system call that walks the list of the
/// file's locks.
const PROBES: usize = 64;

/// See the module's page.
pub(super) struct Seat {
    /// The descriptor that the file is mapped by. Closed only if its number is still that of our file.
    file: ManuallyDrop<File>,
    /// Where the file was opened, if it has a name.
    path: Option<PathBuf>,
    id: FileId,
    kind: filesystem::Kind,
    layout: Layout,
    /// What the threads of this process counted: a child has counted nothing yet.
    lanes: Arc<Lanes>,
    page: Arc<WipedPage>,
    pub(super) clock: FileClock,
    /// While this process attaches: what it locks its line by.
    line: Descriptor,
    /// Once it has a line: what it asks after others by. Of another description than the line's lock, so that a child that
    /// has a copy holds no lock, unless the file could not be opened once more.
    probe: Descriptor,
    /// In a child that has no line yet: what it is going to lock one by, opened before it was forked.
    spare: Descriptor,
    /// While a fork is under way: what is going to be the child's spare one.
    child: Descriptor,
}

/// Something closed a descriptor by force while it was in use.
fn lost() -> NotAttached {
    NotAttached::Io(io::Error::from_raw_os_error(libc::EBADF))
}

fn encode(owner: Owner) -> u64 {
    owner.incarnation << 16 | u64::from(owner.line)
}

impl Seat {
    pub fn new(opened: file::OpenedFile, path: Option<PathBuf>, layout: Layout, lanes: Arc<Lanes>) -> io::Result<Arc<Self>> {
        let page = Arc::new(WipedPage::new()?);
        let id = FileId { device: opened.device, inode: opened.inode };
        let place = |mark| Descriptor::new(id, page.clone(), mark);
        let seat = Arc::new(Self {
            id,
            kind: opened.kind,
            file: ManuallyDrop::new(opened.file),
            path,
            layout,
            lanes,
            clock: FileClock::new(page.clone()),
            line: place(page::HAS_LINE),
            probe: place(page::HAS_PROBE),
            spare: place(page::HAS_SPARE),
            child: place(page::HAS_CHILD),
            page,
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
        file::is_same_file(path, self.id.device, self.id.inode)
    }

    /// Whether the file is memory rather than on a disk.
    pub fn is_memory(&self) -> bool {
        self.kind.memory
    }

    /// The anchors of the line's lock, and of the locks under which others' things are recovered.
    fn line_anchor(&self) -> Anchor<'_> {
        self.page.anchor(page::LINE_ANCHOR)
    }

    fn probe_anchor(&self) -> Anchor<'_> {
        self.page.anchor(page::PROBE_ANCHOR)
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
        let was_spare = self.open_line().map_err(NotAttached::Io)?;
        let taken = self.take_line(core);
        if taken.is_err() {
            self.give_up(was_spare);
        }
        let owner = taken?;
        // Release: pairs with the acquire in `owner`.
        self.page.word(page::OWNER).store(encode(owner), Ordering::Release);
        Ok(owner)
    }

    fn take_line(&self, core: &Core<MappedMemory>) -> Result<Owner, NotAttached> {
        let fd = self.line.get().ok_or_else(lost)?;
        boot::enter(core, fd, self.kind.memory).map_err(NotAttached::Io)?;
        let owner = self.take_any_line(core, fd)?;
        boot::leave(fd).map_err(NotAttached::Io)?;
        self.recover_some(core, fd, usize::from(owner.line));
        // Whether the number that was used up to here stood for the right thing all the time.
        self.line.get().ok_or_else(lost)?;
        self.leave_lock_to_anchor().map_err(NotAttached::Io)?;
        if self.page.word(page::IS_SHARED).load(Ordering::Relaxed) == 0 {
            let probe = self.probe.get().ok_or_else(lost)?;
            let is_locked = lock::locked_by_another(probe, self.line_byte(usize::from(owner.line)), 1);
            if !is_locked.map_err(NotAttached::Io)? {
                return Err(lost());
            }
        }
        Ok(owner)
    }

    /// After an attach that failed. What it may have locked is free again, and what it may have written into a line is that of a
    /// dead process.
    fn give_up(&self, was_spare: bool) {
        for place in [&self.line, &self.probe] {
            if let Some(fd) = place.get() {
                let _ = lock::unlock(fd, 0, 0);
            }
        }
        self.line_anchor().release();
        self.probe_anchor().release();
        let _ = fork::between_forks(|| {
            if was_spare {
                self.spare.put_from(&self.line);
            }
        });
        self.line.close();
        self.probe.close();
    }

    /// In a child that ran no fork handler: closes its copies of its parent's descriptors, which locks must not be taken by, and
    /// forgets what the parent counted. The caller holds the lock for attaching.
    fn drop_copies(&self) {
        for place in [&self.line, &self.probe, &self.spare, &self.child] {
            if place.close_copy() {
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

    /// Opens what a line is going to be locked by, and anchors it. Nobody forks meanwhile, else a child would have a copy that
    /// nothing closes, or a mapping, and with it the lock. Opened anew if possible: of the spare one a child by a bare `clone` may
    /// have a copy. Tells whether it was the spare one.
    fn open_line(&self) -> io::Result<bool> {
        fork::between_forks(|| {
            let (line, was_spare) = match self.reopen() {
                Ok(line) => (OwnedFd::from(line), false),
                Err(error) => (self.spare.take().ok_or(error)?, true),
            };
            self.line.put(line);
            let fd = self.line.get().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
            self.line_anchor().hold(fd)?;
            Ok(was_spare)
        })?
    }

    /// Closes the descriptor that the line was locked by, and opens another one to ask after others by. Where that cannot be
    /// had, or the file system is not known to let a mapping keep what is mapped, the first one serves for both.
    fn leave_lock_to_anchor(&self) -> io::Result<()> {
        fork::between_forks(|| {
            let is_alone = self.kind.known && self.open_probe().is_ok();
            if is_alone {
                self.line.close();
            } else {
                self.probe.put_from(&self.line);
            }
            self.page.word(page::IS_SHARED).store(u64::from(!is_alone), Ordering::Relaxed);
            self.spare.close();
        })
    }

    /// To be called while nobody forks.
    fn open_probe(&self) -> io::Result<()> {
        let probe = self.reopen()?;
        if self.kind.known {
            self.probe_anchor().hold(probe.as_fd())?;
        }
        self.probe.put(probe);
        Ok(())
    }

    /// What others are asked after by, opened anew if something closed it by force.
    fn probe(&self) -> Option<BorrowedFd<'_>> {
        if self.probe.get().is_none() {
            fork::between_forks(|| self.open_probe()).ok()?.ok()?;
        }
        self.probe.get()
    }

    /// Opens the file once more: by the descriptor, or by the path if `/proc` is out of sight or something closed the descriptor
    /// by force.
    fn reopen(&self) -> io::Result<File> {
        let is_open = self.id.is_open_as(self.file.as_raw_fd());
        let by_descriptor = if is_open { file::reopen(&self.file) } else { Err(io::Error::from_raw_os_error(libc::EBADF)) };
        by_descriptor.or_else(|error| match self.path.as_deref() {
            Some(path) => file::open_again(path, self.id.device, self.id.inode),
            None => Err(error),
        })
    }

    fn line_byte(&self, line: usize) -> u64 {
        (self.layout.registry_at + line * LINE_BYTES) as u64
    }

    fn take_any_line(&self, core: &Core<MappedMemory>, fd: BorrowedFd<'_>) -> Result<Owner, NotAttached> {
        let lines = 0..core.layout.lines;
        // Lines that were given back first: they are free in all likelihood. Locks of one file are a list, so asking
        // for each costs the kernel a walk.
        for line in lines.clone().filter(|&line| core.incarnation(line) == 0).chain(lines) {
            if lock::try_lock(fd, self.line_byte(line), 1, Kind::Exclusive).map_err(NotAttached::Io)? {
                return Ok(core.take_line(line, std::process::id()));
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
                // Its number may have been another's by then.
                if self.line.get().is_some() {
                    core.recover_line(line);
                }
                let _ = lock::unlock(fd, self.line_byte(line), 1);
            }
        }
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
        let Some(fd) = self.probe() else { return false };
        if !lock::try_lock(fd, self.line_byte(line), 1, Kind::Exclusive).unwrap_or(false) {
            return false;
        }
        let recovered = if self.probe.get().is_none() {
            false // what was locked may have been another file: something closed the descriptor by force since
        } else if core.incarnation(line) != suspect.incarnation {
            core.recover_former(suspect)
        } else {
            core.recover_line(line)
        };
        // Should this fail, as the descriptor was closed by force, the line stays locked until another one is opened.
        let _ = lock::unlock(fd, self.line_byte(line), 1);
        recovered
    }

    /// Gives the line back.
    pub fn leave(&self, core: &Core<MappedMemory>) {
        let Some(owner) = self.owner() else { return };
        core.leave_line(owner);
        self.page.word(page::OWNER).store(0, Ordering::Release);
        // Given up by name where a descriptor has the same description: a child that another thread starts at this moment has
        // a copy of it until it runs its own program.
        if self.page.word(page::IS_SHARED).load(Ordering::Relaxed) != 0
            && let Some(fd) = self.probe.get()
        {
            let _ = lock::unlock(fd, self.line_byte(usize::from(owner.line)), 1);
        }
        self.line_anchor().release();
        self.probe_anchor().release();
    }
}

impl Drop for Seat {
    /// Closes what this process opened, and a child's copies.
    fn drop(&mut self) {
        for place in [&self.line, &self.probe, &self.spare, &self.child] {
            place.close();
        }
        if self.id.is_open_as(self.file.as_raw_fd()) {
            // SAFETY: the last use of this field; the number is open, on the file that it was opened for.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

impl ForkHandler for Seat {
    fn prepare(&self) {
        // Should this fail, the child opens the file itself, if it still can.
        if let Ok(file) = self.reopen() {
            self.child.put(file);
        }
        self.clock.prepare();
    }

    fn in_parent(&self) {
        self.child.close();
    }

    fn in_child(&self) {
        for place in [&self.line, &self.probe, &self.spare] {
            place.close();
        }
        self.spare.put_from(&self.child);
        self.clock.in_child();
        self.lanes.forget();
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("fd", &self.file.as_raw_fd()).field("owner", &self.owner()).finish()
    }
}
