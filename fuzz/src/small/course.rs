//! What an input does with a tiny cache.

use std::cell::RefCell;
use std::rc::Rc;

use super::model::Model;
use super::ops::SmallOp;
use super::{Image, Small};
use crate::coded;
use crate::edit::Edit;

/// Once so many accesses were made, the rest of an input is left out: others are worth more.
const MOST_ACCESSES: u64 = 6_000;

coded! {
    /// What is done next. On a sound cache nothing is spoilt.
    pub enum Step {
        Use { op: SmallOp },
        /// By the other of the two hands.
        Other { op: SmallOp },
        Spoil { edit: Edit },
        /// The edit is made in the midst of the operation, before so many of its accesses.
        Amid { after: u8, op: SmallOp, edit: Edit },
        /// The other hand does its operation in the midst of this one.
        Both { after: u8, op: SmallOp, other: SmallOp },
        /// Whoever does the operation dies in the midst of it.
        Die { after: u8, op: SmallOp },
        Look,
    }
}

/// A cache, and the map beside it while it is sound.
pub struct Course {
    small: Rc<Small>,
    model: Option<Model>,
}

/// Before which access something happens: exactly for the first ones, roughly for those of long operations.
fn moment(after: u8) -> u64 {
    let after = u64::from(after);
    if after < 160 { after } else { 160 + (after - 160) * 16 }
}

/// What changes the world or nothing has no middle, nor has what is done by the only one who is there.
fn is_plain(op: &SmallOp) -> bool {
    matches!(op, SmallOp::Wait { .. } | SmallOp::Leave | SmallOp::Recover { .. } | SmallOp::Reboot)
}

impl Course {
    /// Begins.
    pub fn new(small: Rc<Small>, image: &Rc<Image>, is_rotten: bool) -> Self {
        if is_rotten {
            small.core.memory.let_rot();
        }
        Self { small, model: (!is_rotten).then(|| Model::new(image.clone())) }
    }

    /// Takes one step.
    pub fn take(&mut self, step: &Step) {
        if self.small.core.memory.accesses() > MOST_ACCESSES {
            return;
        }
        match step {
            Step::Use { op } => self.perform(0, op),
            Step::Other { op } => self.perform(1, op),
            Step::Spoil { edit } => {
                if self.model.is_none() {
                    edit.spoil(&*self.small);
                }
            }
            Step::Amid { after, op, edit } => {
                if self.model.is_none() {
                    let (small, edit) = (self.small.clone(), edit.clone());
                    self.small.core.memory.strike_after(moment(*after), move || edit.spoil(&*small));
                }
                self.perform(0, op);
                self.small.core.memory.cancel_strike();
            }
            Step::Both { after, op, other } if !is_plain(op) && !is_plain(other) => self.perform_both(*after, op, other),
            Step::Both { op, .. } => self.perform(0, op),
            Step::Die { after, op } if !is_plain(op) => self.die(*after, op),
            Step::Die { op, .. } => self.perform(0, op),
            Step::Look => self.look(),
        }
    }

    fn look(&mut self) {
        match &self.model {
            Some(model) => model.check(&self.small),
            None => self.perform(0, &SmallOp::Verify),
        }
    }

    fn perform(&mut self, hand: usize, op: &SmallOp) {
        let effects = self.small.perform(hand, op);
        if let Some(model) = &mut self.model {
            model.follow(&self.small, &effects);
        }
    }

    fn perform_both(&mut self, after: u8, op: &SmallOp, other: &SmallOp) {
        let second = Rc::new(RefCell::new(Vec::new()));
        let (small, sink, other) = (self.small.clone(), second.clone(), other.clone());
        self.small.core.memory.strike_after(moment(after), move || *sink.borrow_mut() = small.perform(1, &other));
        let first = self.small.perform(0, op);
        let never = self.small.core.memory.cancel_strike();
        if let Some(model) = &mut self.model {
            if never {
                model.follow(&self.small, &first);
            } else {
                model.follow_both(&self.small, &first, &second.borrow());
            }
        }
    }

    /// The operation goes on to its end, so that it is known what it was about to do; then the file is made what it was
    /// at the moment of the death.
    fn die(&mut self, after: u8, op: &SmallOp) {
        let image = Rc::new(RefCell::new(None));
        let (small, sink) = (self.small.clone(), image.clone());
        self.small.core.memory.strike_after(moment(after), move || *sink.borrow_mut() = Some(small.core.memory.image()));
        let effects = self.small.perform(0, op);
        self.small.core.memory.cancel_strike();
        if let Some(image) = image.borrow().as_ref() {
            self.small.core.memory.restore(image);
            self.small.bury(0);
        }
        if let Some(model) = &mut self.model {
            match image.borrow().is_some() {
                true => model.follow_dead(&effects),
                false => model.follow(&self.small, &effects),
            }
        }
    }

    /// The end: on a sound cache all is judged once more, on a rotten one every operation comes to an end.
    pub fn finish(self) {
        let small = &self.small;
        if let Some(model) = self.model {
            return model.finish(small);
        }
        if small.core.memory.accesses() > MOST_ACCESSES {
            return;
        }
        for (hand, op) in
            [(0, SmallOp::Verify), (1, SmallOp::Set { key: 1, len: 30 }), (0, SmallOp::Get { key: 1 }), (1, SmallOp::Count)]
        {
            small.perform(hand, &op);
        }
    }
}
