//! How values are read.

use crate::array::{Array, Scalar};
use crate::error::DecodeError;
use crate::int::Int;
use crate::time::{DateTime, Time, Zone};
use crate::value::Value;
use crate::wire::{self, Top, tag};

impl Value {
    /// The value that these bytes stand for. Runs no code, whatever the bytes: a pickle is given as its bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match wire::open_value(bytes)? {
            Top::Counter(value) => Ok(Self::Int(value.into())),
            Top::Item(tag, payload) => take(tag, payload, 0),
        }
    }
}

fn take(tag: u8, payload: &[u8], depth: u32) -> Result<Value, DecodeError> {
    let bad = DecodeError::BadPayload(tag);
    let int = || Int::from_payload(payload).ok_or(bad);
    let text = || std::str::from_utf8(payload).map(str::to_owned).map_err(|_| bad);
    let clock = |zone| int().map(|micros| DateTime { micros, fold: false, zone });
    Ok(match tag {
        tag::NONE | tag::TRUE | tag::FALSE if !payload.is_empty() => return Err(bad),
        tag::NONE => Value::None,
        tag::TRUE => Value::Bool(true),
        tag::FALSE => Value::Bool(false),
        tag::INT => Value::Int(int()?),
        tag::FLOAT => Value::Float(f64::from_le_bytes(payload.try_into().map_err(|_| bad)?)),
        tag::COMPLEX => match payload.as_chunks::<8>() {
            (&[real, imaginary], []) => Value::Complex(f64::from_le_bytes(real), f64::from_le_bytes(imaginary)),
            _ => return Err(bad),
        },
        tag::STR => match text() {
            Ok(text) => Value::Str(text),
            Err(_) if wire::is_text(payload) => Value::Surrogates(payload.to_vec()),
            Err(error) => return Err(error),
        },
        tag::BYTES => Value::Bytes(payload.to_vec()),
        tag::BYTEARRAY => Value::ByteArray(payload.to_vec()),
        tag::UUID => Value::Uuid(payload.try_into().map_err(|_| bad)?),
        tag::DECIMAL if payload.is_ascii() => Value::Decimal(text()?),
        tag::DECIMAL => return Err(bad),
        tag::DATE => Value::Date(int()?),
        tag::DELTA => Value::Delta(int()?),
        tag::NAIVE => Value::DateTime(clock(Zone::Naive)?),
        tag::INSTANT => Value::DateTime(clock(Zone::Fixed(Int::from(0i64)))?),
        tag::TIME => Value::Time(Time { micros: int()?, fold: false, zone: Zone::Naive }),
        tag::DATETIME => {
            take_clock(tag, payload, depth).map(|(micros, fold, zone)| Value::DateTime(DateTime { micros, fold, zone }))?
        }
        tag::ZONED_TIME => {
            take_clock(tag, payload, depth).map(|(micros, fold, zone)| Value::Time(Time { micros, fold, zone }))?
        }
        tag::ARRAY => Value::Array(Array::take(tag, payload)?),
        tag::TENSOR => Value::Tensor(Array::take(tag, payload)?),
        tag::SCALAR => Value::Scalar(Scalar::take(payload)?),
        tag::PICKLE => Value::Pickle(payload.to_vec()),
        tag::CUSTOM => Value::Custom(payload.to_vec()),
        tag::LIST => Value::List(take_items(payload, depth)?),
        tag::TUPLE => Value::Tuple(take_items(payload, depth)?),
        tag::SET => Value::Set(take_items(payload, depth)?),
        tag::FROZENSET => Value::FrozenSet(take_items(payload, depth)?),
        tag::DICT => {
            let items = take_items(payload, depth)?;
            if items.len() % 2 != 0 {
                return Err(bad);
            }
            let mut items = items.into_iter();
            Value::Dict(std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect())
        }
        other => return Err(DecodeError::UnknownTag(other)),
    })
}

fn take_items(mut rest: &[u8], depth: u32) -> Result<Vec<Value>, DecodeError> {
    let depth = wire::deeper_in(depth)?;
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (tag, payload) = wire::take_item(&mut rest)?;
        items.push(take(tag, payload, depth)?);
    }
    Ok(items)
}

fn take_clock(tag: u8, payload: &[u8], depth: u32) -> Result<(Int, bool, Zone), DecodeError> {
    let bad = DecodeError::BadPayload(tag);
    let items: [Value; 3] = take_items(payload, depth)?.try_into().map_err(|_| bad)?;
    let [Value::Int(micros), Value::Int(fold), zone] = items else { return Err(bad) };
    let zone = match zone {
        Value::None => Zone::Naive,
        Value::Delta(offset) => Zone::Fixed(offset),
        Value::Str(name) => Zone::Named(name),
        _ => return Err(bad),
    };
    match fold.to_i64() {
        Some(0) => Ok((micros, false, zone)),
        Some(1) => Ok((micros, true, zone)),
        _ => Err(bad),
    }
}
