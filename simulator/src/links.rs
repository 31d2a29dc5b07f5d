//! Lists of objects that are linked by number: an object is in one list at most.

/// No object.
const NONE: u32 = u32::MAX;

/// The links of all objects.
#[derive(Debug)]
pub struct Links {
    next: Vec<u32>,
    previous: Vec<u32>,
}

/// One list. Its front is what was put there last.
#[derive(Clone, Copy, Debug)]
pub struct List {
    front: u32,
    back: u32,
    len: usize,
}

impl List {
    /// An empty list.
    pub const EMPTY: Self = Self { front: NONE, back: NONE, len: 0 };

    /// How many objects are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The object that was put there first.
    pub fn back(&self) -> Option<u32> {
        (self.back != NONE).then_some(self.back)
    }
}

impl Links {
    /// Links for objects below `objects`.
    pub fn new(objects: usize) -> Self {
        Self { next: vec![NONE; objects], previous: vec![NONE; objects] }
    }

    /// Puts an object that is in no list at the front of one.
    pub fn push_front(&mut self, list: &mut List, id: u32) {
        self.next[id as usize] = list.front;
        self.previous[id as usize] = NONE;
        if list.front == NONE {
            list.back = id;
        } else {
            self.previous[list.front as usize] = id;
        }
        list.front = id;
        list.len += 1;
    }

    /// Takes an object out of the list that it is in.
    pub fn remove(&mut self, list: &mut List, id: u32) {
        let (next, previous) = (self.next[id as usize], self.previous[id as usize]);
        if previous == NONE {
            list.front = next;
        } else {
            self.next[previous as usize] = next;
        }
        if next == NONE {
            list.back = previous;
        } else {
            self.previous[next as usize] = previous;
        }
        list.len -= 1;
    }

    /// Takes out the object that was put there first.
    pub fn pop_back(&mut self, list: &mut List) -> Option<u32> {
        let id = list.back()?;
        self.remove(list, id);
        Some(id)
    }

    /// The object that was put there after this one.
    pub fn newer(&self, id: u32) -> Option<u32> {
        Some(self.previous[id as usize]).filter(|&newer| newer != NONE)
    }
}
