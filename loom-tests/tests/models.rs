//! Every model, with the protocol as it is.
#![cfg(shmemo_model)]

use loom_tests::models;

macro_rules! models {
    ($($name:ident)*) => { $(#[test] fn $name() { models::$name(); })* };
}

models! {
    two_inserts three_inserts inserts_beside_a_remove inserts_into_a_full_bucket set_beside_remove two_replaces
    two_increments increment_beside_move increment_beside_recycling
    get_beside_recycling gets_beside_sweeps get_beside_replace get_beside_insert
    remove_beside_get remove_beside_move remove_beside_moves sweep_beside_get
    two_writers_of_a_segment write_beside_sweep claim_beside_free
    clear_beside_move clear_beside_increment sweep_after_clear
    two_writers_at_the_bound
    death_in_insert death_in_replace death_in_remove death_in_sweep
}
