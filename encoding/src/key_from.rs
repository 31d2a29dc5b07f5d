//! What a key is made from.

use crate::int::Int;
use crate::key::{Key, Rational};

impl Key {
    /// The key of a fraction: an integer or a floating-point number if it is equal to one. None for a denominator of zero.
    pub fn rational(numerator: i64, denominator: i64) -> Option<Self> {
        let (mut a, mut b) = (i128::from(numerator).abs(), i128::from(denominator).abs());
        if b == 0 {
            return None;
        }
        let (magnitude, below) = (a, b);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let sign = if (numerator < 0) != (denominator < 0) { -1 } else { 1 };
        let (above, below) = (sign * magnitude / a, below / a);
        Some(if below == 1 {
            Self::Int(above.into())
        } else if below & (below - 1) == 0 && above.abs() < 1 << 53 {
            // Both are exact, and so is the quotient.
            Self::Float(above as f64 / below as f64)
        } else {
            Self::Rational(Rational { numerator: above.into(), denominator: below.into() })
        })
    }
}

macro_rules! from_ints {
    ($($int:ty),*) => {$(
        impl From<$int> for Key {
            fn from(value: $int) -> Self {
                Self::Int(value.into())
            }
        }
    )*};
}

from_ints!(i32, u32, i64, u64, i128, Int);

impl From<bool> for Key {
    /// The integer 0 or 1, as in Python.
    fn from(value: bool) -> Self {
        i64::from(value).into()
    }
}

impl From<f64> for Key {
    fn from(value: f64) -> Self {
        Int::from_f64(value).map_or(Self::Float(value), Self::Int)
    }
}

impl From<&str> for Key {
    fn from(value: &str) -> Self {
        Self::Str(value.to_owned())
    }
}

impl From<String> for Key {
    fn from(value: String) -> Self {
        Self::Str(value)
    }
}

impl From<&[u8]> for Key {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Key {
    fn from(value: &[u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<T: Into<Key>> From<Option<T>> for Key {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl From<()> for Key {
    fn from((): ()) -> Self {
        Self::Tuple(Vec::new())
    }
}

macro_rules! from_tuples {
    ($(($($item:ident),+)),*) => {$(
        impl<$($item: Into<Key>),+> From<($($item,)+)> for Key {
            #[allow(non_snake_case, reason = "each variable is named after its type")]
            fn from(($($item,)+): ($($item,)+)) -> Self {
                Self::Tuple(vec![$($item.into()),+])
            }
        }
    )*};
}

from_tuples!((A), (A, B), (A, B, C), (A, B, C, D), (A, B, C, D, E), (A, B, C, D, E, F));
