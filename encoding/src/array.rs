//! NumPy arrays and scalars.

use crate::error::DecodeError;
use crate::wire::{self, tag};

/// The order of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The last index runs fastest: NumPy's default.
    C,
    /// The first index runs fastest.
    Fortran,
}

/// A NumPy array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    dtype: String,
    shape: Vec<u64>,
    order: Order,
    data: Vec<u8>,
}

/// A NumPy scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    dtype: String,
    data: Vec<u8>,
}

/// At most so many dimensions, as in NumPy.
const MAX_DIMENSIONS: usize = 64;

impl Array {
    /// An array of elements of a `dtype` (as NumPy's `dtype.str` has it: `<f4`). None unless `data` has as many bytes as the
    /// elements take.
    pub fn new(dtype: &str, shape: &[u64], order: Order, data: Vec<u8>) -> Option<Self> {
        let bytes = shape.iter().try_fold(item_size(dtype)?, |bytes, &len| bytes.checked_mul(len))?;
        let fits = bytes == data.len() as u64 && shape.len() <= MAX_DIMENSIONS;
        fits.then(|| Self { dtype: dtype.to_owned(), shape: shape.to_vec(), order, data })
    }

    /// A vector of numbers.
    pub fn from_f32(values: &[f32]) -> Self {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: "<f4".into(), shape: vec![values.len() as u64], order: Order::C, data }
    }

    /// The numbers, if these are `<f4`, in the order in which they lie.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let numbers = self.data.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
        (self.dtype == "<f4").then(|| numbers.collect())
    }

    /// What the elements are, as NumPy's `dtype.str` has it.
    pub fn dtype(&self) -> &str {
        &self.dtype
    }

    /// How many elements there are in each dimension.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The order of the elements.
    pub fn order(&self) -> Order {
        self.order
    }

    /// The elements' bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Appends the payload. `at` is where its item begins, the tag.
    pub(crate) fn put(&self, out: &mut Vec<u8>, at: usize) {
        put_dtype(out, &self.dtype);
        out.push(match self.order {
            Order::C => b'C',
            Order::Fortran => b'F',
        });
        out.push(self.shape.len() as u8);
        self.shape.iter().for_each(|&len| wire::put_len(out, len as usize));
        out.resize(at + (out.len() - at).next_multiple_of(8), 0);
        out.extend_from_slice(&self.data);
    }

    /// The array of a payload.
    pub(crate) fn take(tag: u8, payload: &[u8]) -> Result<Self, DecodeError> {
        let bad = DecodeError::BadPayload(tag);
        let mut rest = payload;
        let dtype = take_dtype(tag, &mut rest)?;
        let [order, dimensions, ..] = *rest else { return Err(bad) };
        rest = &rest[2..];
        let order = match order {
            b'C' => Order::C,
            b'F' => Order::Fortran,
            _ => return Err(bad),
        };
        let take = |_| wire::take_len(&mut rest).map(|len| len as u64);
        let shape: Vec<u64> = (0..dimensions).map(take).collect::<Result<_, _>>()?;
        // The tag counts too.
        let header = payload.len() - rest.len() + 1;
        let padding = header.next_multiple_of(8) - header;
        let (zeros, data) = rest.split_at_checked(padding).ok_or(bad)?;
        if zeros.iter().any(|&byte| byte != 0) {
            return Err(bad);
        }
        Self::new(dtype, &shape, order, data.to_vec()).ok_or(bad)
    }
}

impl Scalar {
    /// A scalar of a `dtype`. None unless `data` has as many bytes as it takes.
    pub fn new(dtype: &str, data: Vec<u8>) -> Option<Self> {
        (item_size(dtype)? == data.len() as u64).then(|| Self { dtype: dtype.to_owned(), data })
    }

    /// What it is, as NumPy's `dtype.str` has it.
    pub fn dtype(&self) -> &str {
        &self.dtype
    }

    /// Its bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_dtype(out, &self.dtype);
        out.extend_from_slice(&self.data);
    }

    pub(crate) fn take(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut rest = payload;
        let dtype = take_dtype(tag::SCALAR, &mut rest)?;
        Self::new(dtype, rest.to_vec()).ok_or(DecodeError::BadPayload(tag::SCALAR))
    }
}

fn put_dtype(out: &mut Vec<u8>, dtype: &str) {
    out.push(dtype.len() as u8);
    out.extend_from_slice(dtype.as_bytes());
}

fn take_dtype<'a>(tag: u8, rest: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    let bad = DecodeError::BadPayload(tag);
    let (&len, after) = rest.split_first().ok_or(bad)?;
    let (dtype, after) = after.split_at_checked(len.into()).ok_or(bad)?;
    *rest = after;
    std::str::from_utf8(dtype).map_err(|_| bad)
}

/// Bytes of an element: a byte order, a kind, a number, and for times a unit in brackets. None if it is nothing of the kind.
fn item_size(dtype: &str) -> Option<u64> {
    let mut chars = dtype.chars();
    let (order, kind) = (chars.next()?, chars.next()?);
    let (number, unit) = match chars.as_str().split_once('[') {
        Some((number, unit)) => (number, unit.strip_suffix(']')?),
        None => (chars.as_str(), ""),
    };
    let is_plain = number.bytes().all(|digit| digit.is_ascii_digit()) && dtype.len() < 32;
    let has_unit = matches!(kind, 'm' | 'M');
    let is_unit = unit.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !matches!(order, '<' | '>' | '|') || !is_plain || !is_unit || !(has_unit || unit.is_empty()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    match kind {
        'b' | 'i' | 'u' | 'f' | 'c' | 'm' | 'M' | 'S' => Some(number),
        'U' => number.checked_mul(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_elements() {
        for (dtype, size) in [("<f4", Some(4)), ("|b1", Some(1)), ("<M8[25us]", Some(8)), ("<U3", Some(12)), ("|S5", Some(5))] {
            assert_eq!(item_size(dtype), size, "{dtype}");
        }
        for dtype in ["", "<", "<f", "|O8", "<f4[ns]", "<M8[ns", "<U99999999999999999999", "<f-4", "f4"] {
            assert_eq!(item_size(dtype), None, "{dtype}");
        }
    }

    #[test]
    fn an_array_has_as_many_bytes_as_it_says() {
        assert!(Array::new("<f4", &[2, 3], Order::C, vec![0; 24]).is_some());
        assert!(Array::new("<f4", &[2, 3], Order::C, vec![0; 23]).is_none());
        assert!(Array::new("<f4", &[u64::MAX, u64::MAX], Order::C, vec![]).is_none());
        assert_eq!(Array::from_f32(&[1.0, 2.0]).to_f32(), Some(vec![1.0, 2.0]));
    }
}
