//! Values, and how they are written.

use crate::array::{Array, Scalar};
use crate::error::EncodeError;
use crate::int::Int;
use crate::time::{DateTime, Time, Zone};
use crate::wire::{self, tag};

/// A value, as the Python package encodes it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
    /// `bool`.
    Bool(bool),
    /// `int`. One of 64 bits is what [`shmemo::Cache::increment`] reads and writes too.
    ///
    /// [`shmemo::Cache::increment`]: https://docs.rs/shmemo/latest/shmemo/struct.Cache.html#method.increment
    Int(Int),
    /// `float`.
    Float(f64),
    /// `complex`: real and imaginary part.
    Complex(f64, f64),
    /// `str`.
    Str(String),
    /// `str` with lone surrogates, each of which has the three bytes that UTF-8 would give it.
    Surrogates(Vec<u8>),
    /// `bytes`.
    Bytes(Vec<u8>),
    /// `bytearray`.
    ByteArray(Vec<u8>),
    /// `list`.
    List(Vec<Value>),
    /// `tuple`.
    Tuple(Vec<Value>),
    /// `dict`, in its order.
    Dict(Vec<(Value, Value)>),
    /// `set`, in any order.
    Set(Vec<Value>),
    /// `frozenset`, in any order.
    FrozenSet(Vec<Value>),
    /// `date`: days since 1970-01-01.
    Date(Int),
    /// `datetime`.
    DateTime(DateTime),
    /// `time`.
    Time(Time),
    /// `timedelta`: microseconds.
    Delta(Int),
    /// `UUID`.
    Uuid([u8; 16]),
    /// `Decimal`: its text.
    Decimal(String),
    /// A NumPy array.
    Array(Array),
    /// A NumPy scalar.
    Scalar(Scalar),
    /// A torch tensor on the CPU.
    Tensor(Array),
    /// A pickle. Whoever unpickles it runs what its writer wanted.
    Pickle(Vec<u8>),
    /// What a serializer made that the Python program chose.
    Custom(Vec<u8>),
}

impl Value {
    /// The bytes to store.
    ///
    /// # Errors
    /// [`EncodeError::TooDeep`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        if let Self::Int(value) = self
            && let Some(value) = value.to_i64()
        {
            return Ok(value.to_le_bytes().to_vec());
        }
        let mut out = Vec::new();
        self.put(&mut out, 0)?;
        wire::finish_value(&mut out, 0);
        Ok(out)
    }

    fn put(&self, out: &mut Vec<u8>, depth: u32) -> Result<(), EncodeError> {
        let at = out.len();
        let mut bytes = |tag: u8, payload: &[u8]| {
            out.push(tag);
            out.extend_from_slice(payload);
        };
        match self {
            Self::None => bytes(tag::NONE, &[]),
            Self::Bool(true) => bytes(tag::TRUE, &[]),
            Self::Bool(false) => bytes(tag::FALSE, &[]),
            Self::Float(value) => bytes(tag::FLOAT, &value.to_le_bytes()),
            Self::Complex(real, imaginary) => bytes(tag::COMPLEX, &[real.to_le_bytes(), imaginary.to_le_bytes()].concat()),
            Self::Str(text) => bytes(tag::STR, text.as_bytes()),
            Self::Surrogates(text) => bytes(tag::STR, text),
            Self::Bytes(payload) => bytes(tag::BYTES, payload),
            Self::ByteArray(payload) => bytes(tag::BYTEARRAY, payload),
            Self::Uuid(payload) => bytes(tag::UUID, payload),
            Self::Decimal(text) => bytes(tag::DECIMAL, text.as_bytes()),
            Self::Pickle(payload) => bytes(tag::PICKLE, payload),
            Self::Custom(payload) => bytes(tag::CUSTOM, payload),
            Self::Int(value) => put_int(out, tag::INT, value),
            Self::Date(days) => put_int(out, tag::DATE, days),
            Self::Delta(micros) => put_int(out, tag::DELTA, micros),
            Self::DateTime(DateTime { micros, fold, zone }) => put_clock(out, [tag::NAIVE, tag::DATETIME], micros, *fold, zone),
            Self::Time(Time { micros, fold, zone }) => put_clock(out, [tag::TIME, tag::ZONED_TIME], micros, *fold, zone),
            Self::Scalar(scalar) => {
                out.push(tag::SCALAR);
                scalar.put(out);
            }
            Self::Array(array) => {
                out.push(tag::ARRAY);
                array.put(out, at);
            }
            Self::Tensor(array) => {
                out.push(tag::TENSOR);
                array.put(out, at);
            }
            Self::List(items) => return put_items(out, tag::LIST, items, depth),
            Self::Tuple(items) => return put_items(out, tag::TUPLE, items, depth),
            Self::Set(items) => return put_items(out, tag::SET, items, depth),
            Self::FrozenSet(items) => return put_items(out, tag::FROZENSET, items, depth),
            Self::Dict(pairs) => return put_items(out, tag::DICT, pairs.iter().flat_map(|(key, value)| [key, value]), depth),
        }
        Ok(())
    }
}

fn put_items<'v>(out: &mut Vec<u8>, tag: u8, items: impl IntoIterator<Item = &'v Value>, depth: u32) -> Result<(), EncodeError> {
    let depth = wire::deeper(depth)?;
    out.push(tag);
    items.into_iter().try_for_each(|item| wire::put_item(out, |out| item.put(out, depth)))
}

fn put_int(out: &mut Vec<u8>, tag: u8, int: &Int) {
    out.push(tag);
    int.put(out);
}

/// A naive date or time has a tag of its own, and so has an instant in UTC.
fn put_clock(out: &mut Vec<u8>, [naive, other]: [u8; 2], micros: &Int, fold: bool, zone: &Zone) {
    let utc = Zone::Fixed(Int::from(0i64));
    match zone {
        Zone::Naive if !fold => return put_int(out, naive, micros),
        zone if !fold && *zone == utc && naive == tag::NAIVE => return put_int(out, tag::INSTANT, micros),
        _ => out.push(other),
    }
    wire::put_whole(out, tag::INT, &micros.to_le_bytes());
    wire::put_whole(out, tag::INT, &Int::from(i64::from(fold)).to_le_bytes());
    match zone {
        Zone::Naive => wire::put_whole(out, tag::NONE, &[]),
        Zone::Fixed(offset) => wire::put_whole(out, tag::DELTA, &offset.to_le_bytes()),
        Zone::Named(name) => wire::put_whole(out, tag::STR, name.as_bytes()),
    }
}
