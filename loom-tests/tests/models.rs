//! Every model, with the protocol as it is.
#![cfg(shmemo_model)]

use loom_tests::models::named;

macro_rules! tests {
    ($($file:ident::$name:ident: $($mutant:ident)+,)*) => { $(#[test] fn $name() { (named(stringify!($name)).explore)(); })* };
}
loom_tests::with_models!(tests);
