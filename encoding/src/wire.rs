//! The parts that encodings are made of. Most programs use [`Key`](crate::Key) and [`Value`](crate::Value) instead; this is
//! for those that encode types of their own without a detour.
//!
//! An item is a tag, one byte, and a payload that goes to the item's end. A container's payload is its items, each after its
//! length. Hence a text as a key is `s` and its UTF-8, nothing else.

use crate::error::{DecodeError, EncodeError};

/// How many containers may lie within each other.
pub const MAX_DEPTH: u32 = 64;
/// The length of a value that is a counter: an `i64`, little-endian, without a tag.
pub const COUNTER_LEN: usize = 8;
/// Precedes a value that would otherwise have [`COUNTER_LEN`] bytes. No tag.
pub const PAD: u8 = 0;

/// The tags of version 1. A later version has others, so nothing of one version is taken for something of another.
pub mod tag {
    /// `None`, without a payload.
    pub const NONE: u8 = b'N';
    /// An integer: two's complement, little-endian, in as few bytes as it takes; zero has none.
    pub const INT: u8 = b'i';
    /// A floating-point number: IEEE 754, 8 bytes, little-endian. In keys only one that is no integer.
    pub const FLOAT: u8 = b'f';
    /// A text: UTF-8, where lone surrogates have the three bytes that UTF-8 would give them.
    pub const STR: u8 = b's';
    /// Bytes.
    pub const BYTES: u8 = b'b';
    /// A tuple: its items.
    pub const TUPLE: u8 = b't';
    /// A frozen set: its items, in keys in the order of their bytes, none twice.
    pub const FROZENSET: u8 = b'z';
    /// A date: days since 1970-01-01, as an integer's payload.
    pub const DATE: u8 = b'd';
    /// A date and time without a zone: microseconds since 1970-01-01T00:00, as an integer's payload.
    pub const NAIVE: u8 = b'n';
    /// An instant: microseconds since 1970-01-01T00:00 UTC, as an integer's payload.
    pub const INSTANT: u8 = b'u';
    /// A time of day without a zone: microseconds since midnight, as an integer's payload.
    pub const TIME: u8 = b'h';
    /// A span of time: microseconds, as an integer's payload.
    pub const DELTA: u8 = b'D';
    /// A UUID: 16 bytes in the order in which they are written.
    pub const UUID: u8 = b'U';

    /// Keys: a time of day with a zone: microseconds since midnight UTC, as an integer's payload; negative the day before.
    pub const ZONED_TIME_KEY: u8 = b'H';
    /// Keys: a fraction that no [`FLOAT`] is equal to: two integers in lowest terms, the second more than 1.
    pub const RATIONAL: u8 = b'q';
    /// Keys: a path: its bytes as the file system has them.
    pub const PATH: u8 = b'p';
    /// Keys: a member of an enumeration: its class, then its name, or its value if it is a flag.
    pub const ENUM: u8 = b'e';
    /// Keys: a frozen dataclass: its class, then the name and value of each field.
    pub const DATACLASS: u8 = b'c';

    /// Values: true, without a payload.
    pub const TRUE: u8 = b'T';
    /// Values: false, without a payload.
    pub const FALSE: u8 = b'F';
    /// Values: a `bytearray`.
    pub const BYTEARRAY: u8 = b'y';
    /// Values: a list: its items.
    pub const LIST: u8 = b'l';
    /// Values: a dict: key, value, key, value ... in its order.
    pub const DICT: u8 = b'm';
    /// Values: a set: its items.
    pub const SET: u8 = b'S';
    /// Values: a complex number: two floating-point numbers of 8 bytes each.
    pub const COMPLEX: u8 = b'x';
    /// Values: a decimal number: its text in ASCII.
    pub const DECIMAL: u8 = b'M';
    /// Values: a date and time with a zone or a fold: microseconds of its reading and fold as integers, then the zone.
    pub const DATETIME: u8 = b'o';
    /// Values: a time of day with a zone or a fold: the same.
    pub const ZONED_TIME: u8 = b'k';
    /// Values: a NumPy array.
    pub const ARRAY: u8 = b'a';
    /// Values: a NumPy scalar.
    pub const SCALAR: u8 = b'g';
    /// Values: a torch tensor on the CPU: like [`ARRAY`].
    pub const TENSOR: u8 = b'r';
    /// Values: a pickle.
    pub const PICKLE: u8 = b'P';
    /// Values: what the serializer that the user gave made.
    pub const CUSTOM: u8 = b'X';
}

/// Appends a length: seven bits a byte, the lowest first, the top bit set in all but the last.
#[inline]
pub fn put_len(out: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

/// How many bytes [`put_len`] appends.
fn len_of_len(len: usize) -> usize {
    (usize::BITS - (len | 1).leading_zeros()).div_ceil(7) as usize
}

/// Takes a length off the front of `bytes`.
///
/// # Errors
/// [`DecodeError::BadLength`].
#[inline]
pub fn take_len(bytes: &mut &[u8]) -> Result<usize, DecodeError> {
    let mut len = 0u64;
    for (i, &byte) in bytes.iter().enumerate().take(9) {
        len |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            // A zero at the end would make a second form of the same length.
            if byte == 0 && i > 0 {
                break;
            }
            *bytes = &bytes[i + 1..];
            return usize::try_from(len).map_err(|_| DecodeError::BadLength);
        }
    }
    Err(DecodeError::BadLength)
}

/// Appends one item of a container: its length, and what `write` appends.
///
/// # Errors
/// Those of `write`.
#[inline]
pub fn put_item<E>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
    let at = out.len();
    // Most items are short: one byte for the length, and more are made room for if it takes more.
    out.push(0);
    write(out)?;
    let len = out.len() - at - 1;
    if len < 0x80 {
        out[at] = len as u8;
        return Ok(());
    }
    let more = len_of_len(len) - 1;
    out.resize(out.len() + more, 0);
    out.copy_within(at + 1..at + 1 + len, at + 1 + more);
    let mut rest = len;
    for byte in &mut out[at..=at + more] {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    out[at + more] &= 0x7f;
    Ok(())
}

/// Appends an item of a container whose payload is there already.
pub fn put_whole(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
    put_len(out, payload.len() + 1);
    out.push(tag);
    out.extend_from_slice(payload);
}

/// Takes one item off the front of a container's payload: its tag and its payload.
///
/// # Errors
/// [`DecodeError::BadLength`], [`DecodeError::Empty`].
#[inline]
pub fn take_item<'a>(bytes: &mut &'a [u8]) -> Result<(u8, &'a [u8]), DecodeError> {
    let len = take_len(bytes)?;
    let (item, rest) = bytes.split_at_checked(len).ok_or(DecodeError::BadLength)?;
    *bytes = rest;
    split(item)
}

/// Tag and payload of an item.
///
/// # Errors
/// [`DecodeError::Empty`].
#[inline]
pub fn split(item: &[u8]) -> Result<(u8, &[u8]), DecodeError> {
    item.split_first().map(|(&tag, payload)| (tag, payload)).ok_or(DecodeError::Empty)
}

/// The depth of what lies in a container that itself lies at `depth`.
///
/// # Errors
/// [`EncodeError::TooDeep`].
#[inline]
pub fn deeper(depth: u32) -> Result<u32, EncodeError> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(EncodeError::TooDeep) }
}

/// The same for what is read.
#[inline]
pub(crate) fn deeper_in(depth: u32) -> Result<u32, DecodeError> {
    deeper(depth).map_err(|EncodeError::TooDeep| DecodeError::TooDeep)
}

/// The payload of an integer that fits 64 bits: as many of the bytes as it takes, and how many these are.
#[inline]
pub fn int_payload(value: i64) -> ([u8; 8], usize) {
    // One bit more than the magnitude, for the sign.
    let bits = 65 - (if value < 0 { !value } else { value }).leading_zeros();
    let len = if value == 0 { 0 } else { bits.div_ceil(8) as usize };
    (value.to_le_bytes(), len)
}

/// The integer of a payload, if it is in its shortest form and fits 64 bits.
#[inline]
pub fn int_from_payload(payload: &[u8]) -> Option<i64> {
    let &top = payload.last().unwrap_or(&0);
    if payload.len() > 8 || !is_shortest(payload) {
        return None;
    }
    let mut bytes = [if top & 0x80 != 0 { 0xff } else { 0 }; 8];
    bytes[..payload.len()].copy_from_slice(payload);
    Some(i64::from_le_bytes(bytes))
}

/// Whether an integer's payload has no byte more than it takes.
#[inline]
pub fn is_shortest(payload: &[u8]) -> bool {
    match *payload {
        [] => true,
        [only] => only != 0,
        [.., second, top] => !(top == 0 && second & 0x80 == 0 || top == 0xff && second & 0x80 != 0),
    }
}

/// Whether the payload of a text is one: UTF-8, in which lone surrogates have three bytes.
pub fn is_text(mut payload: &[u8]) -> bool {
    while let Err(error) = std::str::from_utf8(payload) {
        match &payload[error.valid_up_to()..] {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, rest @ ..] => payload = rest,
            _ => return false,
        }
    }
    true
}

/// Makes a finished item a value: if it would have the length of a counter, a byte that is no tag goes before it. `at` is
/// where the item begins in `out`.
#[inline]
pub fn finish_value(out: &mut Vec<u8>, at: usize) {
    if out.len() - at == COUNTER_LEN {
        out.insert(at, PAD);
    }
}

/// What a value's bytes are: a counter, or an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Top<'a> {
    /// An integer of 64 bits, which `shmemo::Cache::increment` reads and writes too.
    Counter(i64),
    /// The tag and the payload of an item.
    Item(u8, &'a [u8]),
}

/// Looks what a value's bytes are.
///
/// # Errors
/// [`DecodeError::Empty`].
#[inline]
pub fn open_value(bytes: &[u8]) -> Result<Top<'_>, DecodeError> {
    if let Ok(counter) = <[u8; COUNTER_LEN]>::try_from(bytes) {
        return Ok(Top::Counter(i64::from_le_bytes(counter)));
    }
    let item = match bytes {
        [PAD, item @ ..] if item.len() == COUNTER_LEN => item,
        item => item,
    };
    split(item).map(|(tag, payload)| Top::Item(tag, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_come_back_and_have_one_form() {
        for len in [0, 1, 127, 128, 16_383, 16_384, 1 << 40] {
            let mut out = Vec::new();
            put_len(&mut out, len);
            assert_eq!(out.len(), len_of_len(len));
            let mut rest = out.as_slice();
            assert_eq!((take_len(&mut rest), rest), (Ok(len), &[][..]));
        }
        for bad in [&[][..], &[0x80], &[0x80, 0], &[0xff; 12]] {
            assert_eq!(take_len(&mut &*bad), Err(DecodeError::BadLength), "{bad:?}");
        }
    }

    #[test]
    fn an_item_of_any_length_is_taken_as_it_was_put() {
        for len in [0, 1, 126, 127, 128, 16_382, 16_383, 16_384] {
            let payload = vec![7; len];
            let (mut put, mut whole) = (vec![1, 2], vec![1, 2]);
            put_item(&mut put, |out| {
                out.push(tag::BYTES);
                out.extend_from_slice(&payload);
                Ok::<_, EncodeError>(())
            })
            .unwrap();
            put_whole(&mut whole, tag::BYTES, &payload);
            assert_eq!(put, whole, "{len}");
            let mut rest = &put[2..];
            assert_eq!(take_item(&mut rest), Ok((tag::BYTES, payload.as_slice())));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn integers_have_one_payload() {
        for value in [0, 1, -1, 127, 128, -128, -129, 255, 256, i64::MAX, i64::MIN] {
            let (bytes, len) = int_payload(value);
            assert!(is_shortest(&bytes[..len]), "{value}");
            assert_eq!(int_from_payload(&bytes[..len]), Some(value));
        }
        assert_eq!(int_payload(128).1, 2);
        assert_eq!(int_payload(-128).1, 1);
        for bad in [&[0][..], &[1, 0], &[0xff, 0xff], &[0; 9]] {
            assert_eq!(int_from_payload(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_text_may_have_lone_surrogates_and_nothing_else_that_is_wrong() {
        assert!(is_text("grüße".as_bytes()) && is_text(b"a\xed\xa0\x80b\xed\xbf\xbf"));
        assert!(!is_text(b"\xff") && !is_text(b"\xed\xa0") && !is_text(b"a\xed\xa0\x80\xc0\x80"));
    }

    #[test]
    fn only_a_counter_has_eight_bytes() {
        let mut out = b"sabcdefg".to_vec();
        finish_value(&mut out, 0);
        assert_eq!(out, b"\0sabcdefg");
        assert_eq!(open_value(&out), Ok(Top::Item(b's', b"abcdefg")));
        assert_eq!(open_value(b"\x05\0\0\0\0\0\0\0"), Ok(Top::Counter(5)));
        assert_eq!(open_value(b""), Err(DecodeError::Empty));
    }
}
