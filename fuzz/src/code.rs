//! How inputs stand for operations and edits: each is a byte that says which, then its numbers, little-endian. So a
//! mutation of one byte changes one thing, and seeds can be written down. What a short input lacks is zero.

use std::fmt::Debug;
use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};

/// Whether inputs are to be shown.
static SHOW: LazyLock<bool> = LazyLock::new(|| std::env::var_os("FUZZ_SHOW").is_some());

/// What can be read from an input, and written as one.
pub trait Coded: Sized {
    /// Takes it from the front of the input.
    fn take(input: &mut Unstructured<'_>) -> Result<Self>;
    /// The bytes that `take` makes this of.
    fn put(&self, out: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Coded for $number {
            fn take(input: &mut Unstructured<'_>) -> Result<Self> {
                input.arbitrary()
            }

            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64, i8);

/// Takes as many as the input has, up to `most`.
pub fn take_all<T: Coded + Debug>(input: &mut Unstructured<'_>, most: usize) -> Vec<T> {
    let mut all = Vec::new();
    while !input.is_empty() && all.len() < most {
        let Ok(one) = T::take(input) else { break };
        all.push(one);
    }
    if *SHOW {
        all.iter().for_each(|one| eprintln!("{one:?}"));
    }
    all
}

/// Defines an enum with its code.
#[macro_export]
macro_rules! coded {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$doc:meta])* $variant:ident $({ $($field:ident: $kind:ty),* $(,)? })?,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        #[allow(missing_docs)]
        pub enum $name {
            $($(#[$doc])* $variant $({ $($field: $kind),* })?,)*
        }

        impl $crate::code::Coded for $name {
            fn take(input: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Self> {
                type Take = fn(&mut arbitrary::Unstructured<'_>) -> arbitrary::Result<$name>;
                let all: &[Take] = &[$(|_input| Ok($name::$variant $({ $($field: $crate::code::Coded::take(_input)?),* })?)),*];
                let which = usize::from(<u8 as $crate::code::Coded>::take(input)?);
                all[which % all.len()](input)
            }

            #[allow(unused_assignments)]
            fn put(&self, out: &mut Vec<u8>) {
                let mut which = 0;
                $(
                    if let Self::$variant $({ $($field),* })? = self {
                        out.push(which);
                        $($($crate::code::Coded::put($field, out);)*)?
                        return;
                    }
                    which += 1;
                )*
            }
        }
    };
}
