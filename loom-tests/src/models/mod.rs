//! The models. Each is a function that explores everything within its bounds and panics if a property is broken.
#![deny(dead_code, reason = "a model that is not in the list is never explored")]

mod clears;
mod deaths;
mod gets;
mod inserts;
mod removes;
mod replaces;
mod sweeps;

use shmemo::protocol::Mutant;

/// A model.
pub struct Model {
    /// What it is called.
    pub name: &'static str,
    /// Explores it, and panics if a property is broken.
    pub explore: fn(),
    /// The faults that it must catch.
    pub catches: &'static [Mutant],
}

/// Calls a macro with the one list of all models, each with the faults that it must catch: at least one, or nobody knows
/// whether the model can fail. Others may be caught too; these are near to what the model is about, and caught soon.
#[macro_export]
macro_rules! with_models {
    ($use:ident) => {
        $use! {
            inserts::two_inserts: NoSecondScan NoKick,
            inserts::three_inserts: NoSecondScan,
            inserts::inserts_beside_a_remove: NoInsertFence,
            inserts::inserts_into_a_full_bucket: NoSecondScan NoKick,
            inserts::two_writers_at_the_bound: CountNoRetry,
            replaces::set_beside_remove: NoLookAfterPin UnreleasedPublish,
            replaces::two_replaces: RelaxedClaim UnreleasedPublish,
            replaces::two_increments: ReplaceNoRetry RelaxedClaim,
            replaces::increment_beside_move: ReplaceNoRetry,
            replaces::increment_beside_recycling: SweepIgnoresPins NoPinFence NoLookAfterPin,
            gets::get_beside_recycling: NoGenerationAfterCopy NoReaderFence NoClaimFence,
            gets::gets_beside_sweeps: SweepNoRetry,
            gets::get_beside_replace: RelaxedSlotLoad,
            gets::get_beside_insert: UnreleasedPublish,
            gets::get_beside_touch: ExpiredStays,
            removes::remove_beside_get: RemoveNoRetry CountNotLowered,
            removes::remove_beside_move: RelaxedPublish,
            removes::remove_beside_moves: GenerationMeansAbsent,
            removes::remove_beside_wrap: DanglingAfterOneLook,
            sweeps::sweep_beside_get: SweepNoRetry,
            sweeps::two_writers_of_a_segment: RelaxedClaim,
            sweeps::write_beside_sweep: ReleaseBeforePublish,
            sweeps::claim_beside_free: FreeBeforeGeneration,
            clears::clear_beside_move: MoveStampsEra,
            clears::clear_beside_increment: StoreStampsEra,
            clears::sweep_after_clear: SweepSkipsDead,
            deaths::death_in_insert: TailAfterPublish SweepSkipsTentative,
            deaths::death_in_replace: RecoveryKeepsPins,
            deaths::death_in_remove: RecoveryKeepsMarks,
            deaths::death_in_sweep: RecoveryKeepsSwept,
            deaths::death_at_the_end_of_a_sweep: TailBeforeHand,
        }
    };
}

macro_rules! table {
    ($($file:ident::$name:ident: $($mutant:ident)+,)*) => {
        /// All models.
        pub const MODELS: &[Model] = &[
            $(Model { name: stringify!($name), explore: $file::$name, catches: &[$(Mutant::$mutant),+] },)*
        ];
    };
}
with_models!(table);

/// The model of a name.
pub fn named(name: &str) -> &'static Model {
    MODELS.iter().find(|model| model.name == name).unwrap_or_else(|| panic!("no model {name}"))
}
