//! The encoding of keys and values that the Python package `shmemo` uses, so that a Rust service and Python workers meet
//! in one cache. `docs/encoding.md` defines it byte by byte.
//!
//! ```
//! use shmemo_encoding::{Key, Value};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = shmemo::Cache::builder().capacity(1 << 20).anonymous()?;
//!
//! // What Python writes by `cache["user", 17] = {"name": "Ada"}` ...
//! let key = Key::from(("user", 17)).encode()?;
//! cache.set(&key, Value::from_iter([("name", "Ada")]).encode()?)?;
//!
//! // ... is read here, and the other way round.
//! let bytes = cache.get(&key).ok_or("evicted")?;
//! assert_eq!(Value::decode(&bytes)?, Value::from_iter([("name", "Ada")]));
//! # Ok(())
//! # }
//! ```
//!
//! Equal keys (as Python compares them) have equal bytes, in every process and version. Decoding takes any bytes: what is no
//! encoding is an error, never a panic, and nests no deeper than [`MAX_DEPTH`].

mod array;
mod error;
mod int;
mod key;
mod key_from;
mod time;
mod value;
mod value_decode;
mod value_from;
pub mod wire;

pub use array::{Array, Order, Scalar};
pub use error::{DecodeError, EncodeError};
pub use int::Int;
pub use key::{Key, Rational};
pub use time::{DateTime, Time, Zone};
pub use value::Value;
pub use wire::MAX_DEPTH;
