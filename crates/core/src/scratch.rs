//! Samples that are needed within a call only: each thread keeps a few vectors for all who work on it.

use std::cell::RefCell;

/// Vectors that a thread keeps.
const MOST: usize = 32;
/// Longer ones go back to the allocator.
const LONGEST: usize = 1 << 16;

thread_local! {
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// An empty vector, most likely with room.
pub(crate) fn take() -> Vec<f32> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes a vector back.
pub(crate) fn give(mut samples: Vec<f32>) {
    samples.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MOST && (1..=LONGEST).contains(&samples.capacity()) {
            spare.push(samples);
        }
    });
}
