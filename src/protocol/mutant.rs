//! Deliberate faults for the model checker.
//!
//! A model that cannot fail shows nothing. Each mutant weakens one ordering or leaves one check out; `loom-tests` runs
//! its models once with none, which must pass, and once with each mutant, which must fail. In a normal build every
//! question here is the constant `false` and costs nothing.

use core::sync::atomic::Ordering;

/// The faults, each with what it leaves out, and the list of them all.
macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One deliberate fault. The name says what is left out; the place that asks says why it is needed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        #[cfg_attr(not(shmemo_model), allow(dead_code, reason = "chosen by models only"))]
        pub enum Mutant {
            /// No mutant: the protocol as it is.
            None = 0,
            $($(#[$doc])* $name,)*
        }

        #[cfg(shmemo_model)]
        impl Mutant {
            /// Every fault.
            pub const ALL: &[Mutant] = &[$(Mutant::$name),*];
        }
    };
}

mutants! {
    /// An insert does not scan the other slots again after its tentative word stands.
    NoSecondScan,
    /// No full fence between the tentative word and the second scan.
    NoInsertFence,
    /// An insert leaves other tentative words of its tag alone.
    NoKick,
    /// A reader does not look at the generation again after its copy.
    NoGenerationAfterCopy,
    /// The reader's fence between copy and generation is left out.
    NoReaderFence,
    /// A claim does not fence before its first new byte.
    NoClaimFence,
    /// A slot word is published without release.
    RelaxedPublish,
    /// A slot word is read without acquire.
    RelaxedSlotLoad,
    /// The tail is stored after the slot is published.
    TailAfterPublish,
    /// The segment is given back before the slot is published.
    ReleaseBeforePublish,
    /// The sweeper leaves tentative words alone.
    SweepSkipsTentative,
    /// The sweeper leaves words of dead entries alone.
    SweepSkipsDead,
    /// The sweeper does not look again after a failed exchange.
    SweepNoRetry,
    /// The sweeper does not look at the pins.
    SweepIgnoresPins,
    /// No full fence between the pin and the second look.
    NoPinFence,
    /// A pinned word is not looked at again.
    NoLookAfterPin,
    /// A segment becomes free before its generation is raised.
    FreeBeforeGeneration,
    /// A moved entry is stamped with the era of that moment.
    MoveStampsEra,
    /// Another generation counts as another key.
    GenerationMeansAbsent,
    /// A word of another generation is taken for one that dangles without another look at the generation.
    DanglingAfterOneLook,
    /// A remove whose exchange failed believes that somebody else removed the key.
    RemoveNoRetry,
    /// The state of a segment is claimed without acquire and given back without release.
    RelaxedClaim,
    /// The count of entries is not given back by a remove.
    CountNotLowered,
    /// As `RelaxedPublish`, and no full fence before it stands in for the release: an insert and a replace have one.
    UnreleasedPublish,
    /// A replace whose exchange failed believes that it was made.
    ReplaceNoRetry,
    /// An entry is stamped with the era of the moment in which it is written.
    StoreStampsEra,
    /// An entry that expired is called absent and left where it is.
    ExpiredStays,
    /// A change of the count whose exchange failed is believed to be made.
    CountNoRetry,
    /// The tail becomes zero before the hand.
    TailBeforeHand,
    /// A recovery leaves what the dead were sweeping alone.
    RecoveryKeepsSwept,
    /// A recovery leaves the pins of the dead alone.
    RecoveryKeepsPins,
    /// A recovery leaves it standing that the dead one is counting.
    RecoveryKeepsMarks,
}

#[cfg(shmemo_model)]
static CURRENT: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// Chooses the mutant for this process (model builds only).
#[cfg(shmemo_model)]
pub fn choose(mutant: Mutant) {
    CURRENT.store(mutant as u32, Ordering::SeqCst);
}

/// Whether this fault is wanted.
#[inline(always)]
pub(crate) fn wanted(mutant: Mutant) -> bool {
    #[cfg(shmemo_model)]
    return CURRENT.load(Ordering::SeqCst) == mutant as u32;
    #[cfg(not(shmemo_model))]
    {
        let _ = mutant;
        false
    }
}

/// The ordering, or `Relaxed` if this fault is wanted.
#[inline(always)]
pub(crate) fn weaken(mutant: Mutant, order: Ordering) -> Ordering {
    if wanted(mutant) { Ordering::Relaxed } else { order }
}
