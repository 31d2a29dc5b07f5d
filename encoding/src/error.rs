//! What can go wrong.

use std::fmt;

use crate::wire::MAX_DEPTH;

/// Why something has no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// Containers are nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(f, "it is nested more than {MAX_DEPTH} containers deep"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Why bytes are no encoding of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are no bytes where an item was expected.
    Empty,
    /// The item begins with a byte that this version has no meaning for: another version wrote it, or something else.
    UnknownTag(u8),
    /// The payload of an item with this tag is not one that the encoding gives.
    BadPayload(u8),
    /// A length is not in its shortest form, or says more than there is.
    BadLength,
    /// Containers are nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there are no bytes where an item should be"),
            Self::UnknownTag(tag) => {
                write!(f, "no item begins with the byte {tag:#04x}: another version wrote it, or another program")
            }
            Self::BadPayload(tag) => write!(f, "the bytes after the tag '{}' are none that it can have", tag.escape_ascii()),
            Self::BadLength => f.write_str("a length is not in its shortest form, or is more than there is"),
            Self::TooDeep => write!(f, "it is nested more than {MAX_DEPTH} containers deep"),
        }
    }
}

impl std::error::Error for DecodeError {}
