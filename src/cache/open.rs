//! Making a file, attaching to one, and judging what is there.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::local::Lanes;
use super::seat::Seat;
use super::{Builder, Cache, Inner, OnMismatch, boot};
use crate::error::{ANONYMOUS, NotAttached, OpenError};
use crate::hash::KeyHasher;
use crate::header::{FirstWords, Header, MAGIC};
use crate::layout::{Geometry, Layout, Request};
use crate::memory::MappedMemory;
use crate::os::clock::{self, Clock};
use crate::os::file::{self, FileOptions, OpenedFile};
use crate::os::{create, creation, lock, memfd, random, space};
use crate::protocol::Core;

/// How often an opener starts again because somebody deleted or replaced the file meanwhile.
const ATTEMPTS: u32 = 16;

fn options(builder: &Builder) -> FileOptions {
    FileOptions { mode: builder.mode, allow_unknown_filesystem: builder.allow_unknown_filesystem, magic: MAGIC }
}

fn check(builder: &Builder) -> Result<(), OpenError> {
    builder.default_ttl_ms()?;
    if builder.mode & !0o666 != 0 || builder.mode & 0o600 != 0o600 {
        return Err(OpenError::InvalidOption {
            option: "mode",
            given: format!("{:04o}", builder.mode),
            allowed: "permission bits from 0600 to 0666: the owner reads and writes, nobody executes".into(),
        });
    }
    // What is said must be possible even if the file is there already, whose capacity is any if none is asked for.
    Geometry::plan(&request(builder, crate::layout::MAX_CAPACITY)).map(drop)
}

fn request(builder: &Builder, capacity: u64) -> Request {
    Request {
        capacity: builder.capacity.unwrap_or(capacity),
        max_entries: builder.max_entries,
        max_value_len: builder.max_value_len,
        expected_entry_size: builder.expected_entry_size,
        max_processes: builder.max_processes,
    }
}

pub(super) fn open(builder: &Builder, path: &Path) -> Result<Cache, OpenError> {
    check(builder)?;
    for _ in 0..ATTEMPTS {
        match file::open_existing(path, &options(builder)) {
            Ok(opened) => match attach_or_recreate(builder, path, opened) {
                Err(OpenError::NotFound { .. }) => continue,
                result => return result,
            },
            Err(OpenError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let Some(held) = creation::lock_creation(path, &options(builder), || is_there(path))? else { continue };
        match file::open_existing(path, &options(builder)) {
            // Another has made it while this one waited for the lock.
            Ok(_) => continue,
            Err(OpenError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        match make(builder, path, &held, false) {
            Err(OpenError::AlreadyExists { .. }) => continue,
            result => return result,
        }
    }
    Err(OpenError::Io {
        what: "open a file that others keep deleting and making",
        path: Some(path.to_path_buf()),
        source: io::ErrorKind::TimedOut.into(),
    })
}

pub(super) fn create_new(builder: &Builder, path: &Path) -> Result<Cache, OpenError> {
    check(builder)?;
    match creation::lock_creation(path, &options(builder), || is_there(path))? {
        Some(held) if !is_there(path) => make(builder, path, &held, false),
        _ => Err(OpenError::AlreadyExists { path: path.to_path_buf() }),
    }
}

/// Whether a path names anything, be it a symbolic link to nothing.
fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

pub(super) fn attach(builder: &Builder, path: &Path) -> Result<Cache, OpenError> {
    check(builder)?;
    attach_or_recreate(builder, path, file::open_existing(path, &options(builder))?)
}

fn attach_or_recreate(builder: &Builder, path: &Path, opened: OpenedFile) -> Result<Cache, OpenError> {
    let error = match judge(builder, path, &opened) {
        Ok((header, layout)) => return assemble(builder, Some(path), opened, header, layout),
        Err(error) => error,
    };
    // Only what this crate made is ever replaced.
    let is_ours = matches!(
        error,
        OpenError::VersionMismatch { .. }
            | OpenError::LayoutMismatch { .. }
            | OpenError::HashMismatch { .. }
            | OpenError::GeometryMismatch { .. }
            | OpenError::CorruptHeader { .. }
            | OpenError::Truncated { .. }
    );
    if builder.on_mismatch != OnMismatch::Recreate || !is_ours {
        return Err(error);
    }
    let Some(held) = creation::lock_creation(path, &options(builder), || false)? else { return Err(error) };
    // Another may have replaced it while this one waited for the lock.
    let again = file::open_existing(path, &options(builder))?;
    match judge(builder, path, &again) {
        Ok((header, layout)) => assemble(builder, Some(path), again, header, layout),
        Err(_) => make(builder, path, &held, true),
    }
}

/// Reads the header of a file and compares its geometry with what was asked for.
fn judge(builder: &Builder, path: &Path, opened: &OpenedFile) -> Result<(Header, Layout), OpenError> {
    let (header, layout) = Header::read(&opened.file, path)?;
    if builder.on_mismatch != OnMismatch::UseExisting {
        let g = &header.geometry;
        let asked: [(&'static str, Option<u64>, u64); 5] = [
            ("capacity", builder.capacity.map(|bytes| bytes / 4096 * 4096), g.capacity),
            ("max_entries", builder.max_entries, g.max_entries),
            ("max_value_len", builder.max_value_len.map(|bytes| bytes as u64), g.max_value_len),
            ("expected_entry_size", builder.expected_entry_size.map(|bytes| bytes as u64), g.expected_entry_size),
            ("max_processes", builder.max_processes.map(u64::from), g.lines),
        ];
        for (option, asked, found) in asked {
            if let Some(asked) = asked.filter(|&asked| asked != found) {
                return Err(OpenError::GeometryMismatch { path: path.to_path_buf(), option, found, asked });
            }
        }
    }
    Ok((header, layout))
}

/// The header of a new file.
fn plan(builder: &Builder, path: Option<&Path>) -> Result<(Header, Layout), OpenError> {
    let capacity = space::default_capacity(path).max(crate::layout::MIN_CAPACITY);
    let geometry = Geometry::plan(&request(builder, capacity))?;
    let unplanned = |what| OpenError::CorruptHeader { path: path.unwrap_or(Path::new(ANONYMOUS)).to_path_buf(), what };
    let layout = geometry.layout().map_err(unplanned)?;
    let seed = random::random_u64().map_err(|source| OpenError::Io { what: "draw the key of the hash", path: None, source })?;
    let default_ttl_ms = builder.default_ttl_ms()?.unwrap_or(0);
    Ok((Header { geometry, seed, default_ttl_ms, created_ms: clock::wall_ms() }, layout))
}

/// Writes the header; all else in a new file is zero, which means empty everywhere.
fn write_header(file: &File, header: &Header, layout: &Layout) -> io::Result<()> {
    let first = FirstWords {
        clock_base: clock::wall_ms().wrapping_sub(Clock::new().boot_ms()),
        boot_id: clock::boot_id()?,
        policy_share: layout.first_share(),
    };
    file.write_all_at(&header.to_bytes(&first), 0)
}

fn make(builder: &Builder, path: &Path, held: &creation::CreationLock, replace: bool) -> Result<Cache, OpenError> {
    let (header, layout) = plan(builder, Some(path))?;
    let opened = create::create_file(held, path, &options(builder), header.geometry.capacity, replace, &mut |file| {
        write_header(file, &header, &layout)
    })?;
    assemble(builder, Some(path), opened, header, layout)
}

pub(super) fn anonymous(builder: &Builder) -> Result<Cache, OpenError> {
    check(builder)?;
    let (header, layout) = plan(builder, None)?;
    let opened = memfd::create_memfd("shmemo", header.geometry.capacity, &mut |file| write_header(file, &header, &layout))?;
    assemble(builder, None, opened, header, layout)
}

pub(super) fn from_fd(builder: &Builder, fd: OwnedFd) -> Result<Cache, OpenError> {
    let opened = memfd::adopt(fd)?;
    let (header, layout) = judge(builder, Path::new(ANONYMOUS), &opened)?;
    assemble(builder, None, opened, header, layout)
}

/// Maps the file and takes a line. Having none is not an error: reads need none, and writes say so.
fn assemble(
    builder: &Builder,
    path: Option<&Path>,
    opened: OpenedFile,
    header: Header,
    layout: Layout,
) -> Result<Cache, OpenError> {
    let shown = || path.unwrap_or(Path::new(ANONYMOUS)).to_path_buf();
    let io_error = |what| move |source| OpenError::Io { what, path: Some(shown()), source };
    lock::check(std::os::fd::AsFd::as_fd(&opened.file), &shown())?;
    create::fill_holes(&opened, &shown(), header.geometry.capacity)?;
    let memory =
        MappedMemory::map(&opened.file, header.geometry.capacity as usize, builder.prefault).map_err(io_error("map the file"))?;
    let core = Core { memory, layout };
    let path: Option<PathBuf> = path.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
    let lanes = Arc::new(Lanes::new());
    let seat = Seat::new(opened, path.clone(), layout, lanes.clone()).map_err(io_error("set up the identity of this process"))?;
    // Should the registry be full, or this process have no descriptor left, then the first write tries again and says so.
    // But what is from before a reboot must not be read.
    if let Err(NotAttached::Io(source)) = seat.attach(&core)
        && !boot::is_settled(&core, seat.is_memory())
    {
        return Err(io_error("begin anew after a reboot")(source));
    }
    Ok(Cache {
        inner: Arc::new(Inner {
            core,
            hasher: KeyHasher::new(header.seed),
            default_ttl_ms: builder.default_ttl_ms()?.unwrap_or(header.default_ttl_ms),
            header,
            path,
            lanes,
            seat,
        }),
    })
}
