//! Integers of any size.

use std::fmt;

use crate::wire;

/// An integer of any size, as Python has them. What fits 64 bits is [`Int::to_i64`]; the rest is bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Int(Form);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    Small(i64),
    /// In its shortest form, and more than 8 bytes.
    Large(Box<[u8]>),
}

impl Int {
    /// The integer with these bytes: two's complement, little-endian, of any length.
    pub fn from_le_bytes(bytes: &[u8]) -> Self {
        let mut len = bytes.len();
        while !wire::is_shortest(&bytes[..len]) {
            len -= 1;
        }
        let bytes = &bytes[..len];
        Self(wire::int_from_payload(bytes).map_or_else(|| Form::Large(bytes.into()), Form::Small))
    }

    /// The bytes: two's complement, little-endian, as few as it takes; none for zero.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Form::Small(value) => {
                let (bytes, len) = wire::int_payload(*value);
                bytes[..len].to_vec()
            }
            Form::Large(bytes) => bytes.to_vec(),
        }
    }

    /// The integer, if it fits.
    pub fn to_i64(&self) -> Option<i64> {
        match self.0 {
            Form::Small(value) => Some(value),
            Form::Large(_) => None,
        }
    }

    /// The integer, if it fits.
    pub fn to_i128(&self) -> Option<i128> {
        match &self.0 {
            Form::Small(value) => Some((*value).into()),
            Form::Large(bytes) => {
                let negative = bytes.last().is_some_and(|top| top & 0x80 != 0);
                let mut all = [if negative { 0xff } else { 0 }; 16];
                all.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(i128::from_le_bytes(all))
            }
        }
    }

    /// The integer that is equal to this number, if there is one.
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() || value.fract() != 0.0 {
            return None;
        }
        if value.abs() < 2f64.powi(63) {
            return Some((value as i64).into());
        }
        // 1.m × 2^e with e of at least 63: the significand, shifted to the left.
        let bits = value.to_bits();
        let significand = (bits & ((1 << 52) - 1)) | 1 << 52;
        let shift = ((bits >> 52 & 0x7ff) - 1075) as usize;
        let mut bytes = vec![0u8; shift / 8];
        bytes.extend_from_slice(&(u128::from(significand) << (shift % 8)).to_le_bytes());
        if value < 0.0 {
            let mut carry = true;
            for byte in &mut bytes {
                (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
            }
        }
        Some(Self::from_le_bytes(&bytes))
    }

    /// The integer of a payload, if it is in its shortest form.
    pub(crate) fn from_payload(payload: &[u8]) -> Option<Self> {
        wire::is_shortest(payload).then(|| Self::from_le_bytes(payload))
    }

    /// Appends the payload.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Form::Small(value) => {
                let (bytes, len) = wire::int_payload(*value);
                out.extend_from_slice(&bytes[..len]);
            }
            Form::Large(bytes) => out.extend_from_slice(bytes),
        }
    }
}

impl fmt::Debug for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Small(value) => write!(f, "Int({value})"),
            Form::Large(bytes) => {
                f.write_str("Int(0x")?;
                bytes.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(")")
            }
        }
    }
}

impl From<i64> for Int {
    fn from(value: i64) -> Self {
        Self(Form::Small(value))
    }
}

impl From<i32> for Int {
    fn from(value: i32) -> Self {
        i64::from(value).into()
    }
}

impl From<u32> for Int {
    fn from(value: u32) -> Self {
        i64::from(value).into()
    }
}

impl From<u64> for Int {
    fn from(value: u64) -> Self {
        i128::from(value).into()
    }
}

impl From<i128> for Int {
    fn from(value: i128) -> Self {
        Self::from_le_bytes(&value.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_comes_back() {
        for value in [0, 1, -1, i128::from(i64::MAX) + 1, i128::from(i64::MIN) - 1, i128::MAX, i128::MIN] {
            let int = Int::from(value);
            assert_eq!(int.to_i128(), Some(value));
            assert_eq!(Int::from_le_bytes(&int.to_le_bytes()), int);
            assert_eq!(int.to_i64(), i64::try_from(value).ok());
        }
        let huge = Int::from_le_bytes(&[1; 40]);
        assert_eq!((huge.to_i64(), huge.to_i128(), huge.to_le_bytes()), (None, None, vec![1; 40]));
    }

    #[test]
    fn a_float_is_the_integer_that_it_equals() {
        assert_eq!(Int::from_f64(-0.0), Some(Int::from(0)));
        assert_eq!(Int::from_f64(0.5), None);
        assert_eq!(Int::from_f64(f64::NAN).or(Int::from_f64(f64::INFINITY)), None);
        for exponent in 0..127 {
            for sign in [1.0, -1.0] {
                let value = sign * 1.5 * 2f64.powi(exponent);
                if exponent > 0 {
                    assert_eq!(Int::from_f64(value), Some(Int::from(value as i128)), "{value}");
                }
            }
        }
        let largest = Int::from_f64(f64::MAX).map(|int| int.to_le_bytes().len());
        assert_eq!(largest, Some(129));
    }
}
