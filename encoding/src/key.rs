//! Keys.

use crate::error::{DecodeError, EncodeError};
use crate::int::Int;
use crate::wire::{self, tag};

/// A key, as the Python package encodes it. Made by `Key::from`, which knows that numbers that are equal are one key.
///
/// Two keys that Python calls equal have the same bytes: `1`, `1.0` and `True` are `Key::from(1)`. A variant filled in by
/// hand may say the same in another way (`Key::Float(1.0)`); [`Key::encode`] then still writes the one form.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Key {
    /// `None`.
    None,
    /// An integer, or any number that is equal to one.
    Int(Int),
    /// A number that is no integer. All NaNs are one key.
    Float(f64),
    /// A fraction that no floating-point number is equal to.
    Rational(Rational),
    /// A text.
    Str(String),
    /// A text with lone surrogates, each of which has the three bytes that UTF-8 would give it.
    Surrogates(Vec<u8>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A tuple, or a NamedTuple.
    Tuple(Vec<Key>),
    /// A frozen set, in any order.
    FrozenSet(Vec<Key>),
    /// Days since 1970-01-01.
    Date(Int),
    /// A date and time without a zone: microseconds since 1970-01-01T00:00 on its own clock.
    Naive(Int),
    /// A date and time with a zone: microseconds since 1970-01-01T00:00 UTC.
    Instant(Int),
    /// A time of day without a zone: microseconds since midnight.
    Time(Int),
    /// A time of day with a zone: microseconds since midnight UTC.
    ZonedTime(Int),
    /// A span of time: microseconds.
    Delta(Int),
    /// A UUID.
    Uuid([u8; 16]),
    /// A path, as the file system has it.
    Path(Vec<u8>),
    /// A member of an enumeration that is neither `str` nor `int`.
    Enum {
        /// The class: `module:qualified name`.
        class: String,
        /// Its name; the value of a flag.
        member: Box<Key>,
    },
    /// A frozen dataclass.
    Dataclass {
        /// The class: `module:qualified name`.
        class: String,
        /// Name and value of each field that is compared.
        fields: Vec<(String, Key)>,
    },
}

/// A fraction in lowest terms that no floating-point number is equal to. Made by [`Key::rational`] or by decoding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rational {
    pub(crate) numerator: Int,
    pub(crate) denominator: Int,
}

impl Rational {
    /// The number above the line.
    pub fn numerator(&self) -> &Int {
        &self.numerator
    }

    /// The number below the line, which is more than 1.
    pub fn denominator(&self) -> &Int {
        &self.denominator
    }
}

impl Key {
    /// The key for this key in a cache.
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        self.put(&mut out, 0)?;
        Ok(out)
    }

    /// The key that these bytes stand for.
    ///
    /// # Errors
    /// See [`DecodeError`]. Bytes that stand for a key in another form than the one that is written are an error (but a fraction is taken
    /// as it is).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (tag, payload) = wire::split(bytes)?;
        Self::take(tag, payload, 0)
    }

    fn put(&self, out: &mut Vec<u8>, depth: u32) -> Result<(), EncodeError> {
        let mut int = |tag, int: &Int| {
            out.push(tag);
            int.put(out);
        };
        match self {
            Self::Int(value) => int(tag::INT, value),
            Self::Date(days) => int(tag::DATE, days),
            Self::Naive(micros) => int(tag::NAIVE, micros),
            Self::Instant(micros) => int(tag::INSTANT, micros),
            Self::Time(micros) => int(tag::TIME, micros),
            Self::ZonedTime(micros) => int(tag::ZONED_TIME_KEY, micros),
            Self::Delta(micros) => int(tag::DELTA, micros),
            Self::Float(value) => match Int::from_f64(*value) {
                Some(value) => int(tag::INT, &value),
                None => put_bytes(out, tag::FLOAT, &if value.is_nan() { CANONICAL_NAN } else { *value }.to_le_bytes()),
            },
            Self::None => out.push(tag::NONE),
            Self::Str(text) => put_bytes(out, tag::STR, text.as_bytes()),
            Self::Surrogates(bytes) => put_bytes(out, tag::STR, bytes),
            Self::Bytes(bytes) => put_bytes(out, tag::BYTES, bytes),
            Self::Uuid(bytes) => put_bytes(out, tag::UUID, bytes),
            Self::Path(bytes) => put_bytes(out, tag::PATH, bytes),
            _ => return self.put_container(out, wire::deeper(depth)?),
        }
        Ok(())
    }

    fn put_container(&self, out: &mut Vec<u8>, depth: u32) -> Result<(), EncodeError> {
        match self {
            Self::Tuple(items) => {
                out.push(tag::TUPLE);
                items.iter().try_for_each(|item| wire::put_item(out, |out| item.put(out, depth)))
            }
            Self::FrozenSet(items) => {
                let encode = |item: &Key| {
                    let mut bytes = Vec::new();
                    item.put(&mut bytes, depth).map(|()| bytes)
                };
                let mut items: Vec<Vec<u8>> = items.iter().map(encode).collect::<Result<_, _>>()?;
                items.sort_unstable();
                items.dedup();
                out.push(tag::FROZENSET);
                for item in &items {
                    wire::put_len(out, item.len());
                    out.extend_from_slice(item);
                }
                Ok(())
            }
            Self::Rational(Rational { numerator, denominator }) => {
                out.push(tag::RATIONAL);
                for int in [numerator, denominator] {
                    wire::put_whole(out, tag::INT, &int.to_le_bytes());
                }
                Ok(())
            }
            Self::Enum { class, member } => {
                out.push(tag::ENUM);
                wire::put_whole(out, tag::STR, class.as_bytes());
                wire::put_item(out, |out| member.put(out, depth))
            }
            Self::Dataclass { class, fields } => {
                out.push(tag::DATACLASS);
                wire::put_whole(out, tag::STR, class.as_bytes());
                fields.iter().try_for_each(|(name, value)| {
                    wire::put_whole(out, tag::STR, name.as_bytes());
                    wire::put_item(out, |out| value.put(out, depth))
                })
            }
            _ => Ok(()),
        }
    }

    fn take(tag: u8, payload: &[u8], depth: u32) -> Result<Self, DecodeError> {
        let bad = DecodeError::BadPayload(tag);
        let int = || Int::from_payload(payload).ok_or(bad);
        Ok(match tag {
            tag::NONE if payload.is_empty() => Self::None,
            tag::NONE => return Err(bad),
            tag::INT => Self::Int(int()?),
            tag::DATE => Self::Date(int()?),
            tag::NAIVE => Self::Naive(int()?),
            tag::INSTANT => Self::Instant(int()?),
            tag::TIME => Self::Time(int()?),
            tag::ZONED_TIME_KEY => Self::ZonedTime(int()?),
            tag::DELTA => Self::Delta(int()?),
            tag::FLOAT => {
                let value = f64::from_le_bytes(payload.try_into().map_err(|_| bad)?);
                let is_other_nan = value.is_nan() && value.to_bits() != CANONICAL_NAN.to_bits();
                if is_other_nan || Int::from_f64(value).is_some() {
                    return Err(bad);
                }
                Self::Float(value)
            }
            tag::STR => match std::str::from_utf8(payload) {
                Ok(text) => Self::Str(text.to_owned()),
                Err(_) if wire::is_text(payload) => Self::Surrogates(payload.to_vec()),
                Err(_) => return Err(bad),
            },
            tag::BYTES => Self::Bytes(payload.to_vec()),
            tag::PATH => Self::Path(payload.to_vec()),
            tag::UUID => Self::Uuid(payload.try_into().map_err(|_| bad)?),
            tag::TUPLE | tag::FROZENSET | tag::RATIONAL | tag::ENUM | tag::DATACLASS => {
                return Self::take_container(tag, payload, wire::deeper_in(depth)?);
            }
            other => return Err(DecodeError::UnknownTag(other)),
        })
    }

    fn take_container(tag: u8, mut rest: &[u8], depth: u32) -> Result<Self, DecodeError> {
        let bad = DecodeError::BadPayload(tag);
        let mut items = Vec::new();
        let mut last: Option<&[u8]> = None;
        while !rest.is_empty() {
            let before = rest;
            let (item_tag, payload) = wire::take_item(&mut rest)?;
            // What goes before a payload does not matter for the order, as long as it is the tag.
            let item = &before[before.len() - rest.len() - payload.len() - 1..before.len() - rest.len()];
            if tag == tag::FROZENSET && last.replace(item).is_some_and(|last| last >= item) {
                return Err(bad);
            }
            items.push(Self::take(item_tag, payload, depth)?);
        }
        let text = |key: Key| match key {
            Self::Str(text) => Ok(text),
            _ => Err(bad),
        };
        match tag {
            tag::TUPLE => return Ok(Self::Tuple(items)),
            tag::FROZENSET => return Ok(Self::FrozenSet(items)),
            _ => {}
        }
        let mut items = items.into_iter();
        let mut next = || items.next().ok_or(bad);
        let key = match tag {
            tag::RATIONAL => match (next()?, next()?) {
                (Self::Int(numerator), Self::Int(denominator)) => Self::Rational(Rational { numerator, denominator }),
                _ => return Err(bad),
            },
            tag::ENUM => Self::Enum { class: text(next()?)?, member: Box::new(next()?) },
            _ => {
                let class = text(next()?)?;
                let mut fields = Vec::new();
                while let Some(name) = items.next() {
                    fields.push((text(name)?, items.next().ok_or(bad)?));
                }
                Self::Dataclass { class, fields }
            }
        };
        if items.next().is_some() { Err(bad) } else { Ok(key) }
    }
}

/// The one NaN.
const CANONICAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

fn put_bytes(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
    out.push(tag);
    out.extend_from_slice(payload);
}
