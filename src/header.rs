//! The part of the header that never changes: what the file is, by which rules it was made, and its geometry.
//!
//! The first 16 bytes (magic, format version) mean the same in every version. Everything here is read once, before the
//! file is mapped, and is believed only if the checksum and every number make sense.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::OpenError;
use crate::hash::KeyHasher;
use crate::layout::{FINGERPRINT, Geometry, HEADER_BYTES, Layout, header};
use crate::protocol::Memory;

/// The first eight bytes of every file.
pub const MAGIC: [u8; 8] = *b"shmemo\r\n";
/// The version of the format. Files of another one are refused.
pub const VERSION: u32 = 1;

const WORDS: usize = 18;
const CHECKED_BYTES: usize = WORDS * 8;
/// The checksum stands behind the words that it covers.
const CHECKSUM_AT: usize = CHECKED_BYTES;
const CHECKSUM_SEED: u64 = 0x7368_6d65_6d6f_6864;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The numbers from which all offsets follow.
    pub geometry: Geometry,
    /// The key of the hash.
    pub seed: u64,
    /// Time to live of entries that are given none, in milliseconds; 0 for ever.
    pub default_ttl_ms: u64,
    /// When the file was made, in milliseconds since 1970.
    pub created_ms: u64,
}

/// What a new file holds besides: the words of the header that change.
pub struct FirstWords {
    /// Added to the boot clock, it gives the time of the file.
    pub clock_base: u64,
    /// The boot that the base belongs to.
    pub boot_id: [u64; 2],
    /// The share of newcomers to begin with.
    pub policy_share: u64,
}

impl Header {
    fn words(&self) -> [u64; WORDS] {
        let g = &self.geometry;
        [
            u64::from_le_bytes(MAGIC),
            u64::from(VERSION) | (HEADER_BYTES as u64) << 32,
            FINGERPRINT,
            KeyHasher::fingerprint(),
            self.seed,
            g.capacity,
            g.segments,
            g.segment_bytes,
            g.buckets,
            g.ghost_sets,
            g.lines,
            g.max_value_len,
            g.max_entries,
            g.expected_entry_size,
            self.default_ttl_ms,
            self.created_ms,
            0,
            0,
        ]
    }

    /// The header of a new file, whole.
    pub fn to_bytes(self, first: &FirstWords) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        for (at, word) in self.words().into_iter().enumerate() {
            bytes[at * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        let checksum = checksum(&bytes[..CHECKED_BYTES]);
        let changing = [
            (CHECKSUM_AT, checksum),
            (header::CLOCK_BASE, first.clock_base),
            (header::CLOCK_MIRROR, !first.clock_base),
            (header::BOOT_ID, first.boot_id[0]),
            (header::BOOT_ID + 8, first.boot_id[1]),
            (header::POLICY_SHARE, first.policy_share),
        ];
        for (at, word) in changing {
            bytes[at..][..8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Whether this header stands at the beginning of a memory, checksum and all.
    pub fn is_in(&self, memory: &impl Memory) -> bool {
        let bytes: Vec<u8> = self.words().into_iter().flat_map(u64::to_le_bytes).collect();
        let mut found = Vec::new();
        memory.read_payload(0, CHECKED_BYTES + 8, &mut found);
        found[..CHECKED_BYTES] == bytes && found[CHECKED_BYTES..] == checksum(&bytes).to_le_bytes()
    }

    /// Reads and judges the header of a file.
    pub fn read(file: &File, path: &Path) -> Result<(Self, Layout), OpenError> {
        let io_error = |source| OpenError::Io { what: "read the header", path: Some(path.to_path_buf()), source };
        let len = file.metadata().map_err(io_error)?.len();
        let mut bytes = [0; CHECKED_BYTES + 8];
        let got = read_up_to(file, &mut bytes).map_err(io_error)?;
        let truncated = |expected| OpenError::Truncated { path: path.to_path_buf(), found: len, expected };
        let begin = &bytes[..got.min(MAGIC.len())];
        if *begin != MAGIC {
            return Err(OpenError::NotAShmemoFile { path: path.to_path_buf(), found: begin.to_vec() });
        }
        if got < 16 {
            return Err(truncated(HEADER_BYTES as u64));
        }
        let word = |at: usize| u64::from_le_bytes(bytes[at * 8..][..8].try_into().unwrap_or_default());
        if word(1) as u32 != VERSION {
            return Err(OpenError::VersionMismatch { path: path.to_path_buf(), found: word(1) as u32, expected: VERSION });
        }
        if got < bytes.len() {
            return Err(truncated(HEADER_BYTES as u64));
        }
        if word(2) != FINGERPRINT {
            return Err(OpenError::LayoutMismatch { path: path.to_path_buf(), found: word(2), expected: FINGERPRINT });
        }
        if word(3) != KeyHasher::fingerprint() {
            return Err(OpenError::HashMismatch { path: path.to_path_buf(), found: word(3), expected: KeyHasher::fingerprint() });
        }
        let corrupt = |what| OpenError::CorruptHeader { path: path.to_path_buf(), what };
        if word(WORDS) != checksum(&bytes[..CHECKED_BYTES]) {
            return Err(corrupt("its checksum does not fit its bytes"));
        }
        let header = Self {
            geometry: Geometry {
                capacity: word(5),
                segments: word(6),
                segment_bytes: word(7),
                buckets: word(8),
                ghost_sets: word(9),
                lines: word(10),
                max_value_len: word(11),
                max_entries: word(12),
                expected_entry_size: word(13),
            },
            seed: word(4),
            default_ttl_ms: word(14),
            created_ms: word(15),
        };
        let layout = header.geometry.layout().map_err(corrupt)?;
        if len < header.geometry.capacity {
            return Err(truncated(header.geometry.capacity));
        }
        Ok((header, layout))
    }
}

fn checksum(checked: &[u8]) -> u64 {
    KeyHasher::new(CHECKSUM_SEED).hash(checked)
}

/// Reads from the start until the buffer is full or the file ends.
fn read_up_to(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], got as u64) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
