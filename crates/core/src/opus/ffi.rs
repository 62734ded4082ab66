//! The little that encoder, decoder and DRED share of libopus' C interface.

use std::ffi::{CStr, c_int};

use opusic_sys as sys;

use crate::{Error, Result};

/// Memory that libopus initialises and uses as one of its states.
///
/// The states hold no pointers into themselves ("a shallow copy is sufficient to copy it", opus.h), only pointers to
/// constant tables and weights: so they may be moved, copied and sent to another thread.
#[derive(Clone)]
pub struct State(Vec<u128>);

impl State {
    /// Zeroed memory for `bytes`, as what libopus says a state takes.
    pub fn new(bytes: c_int) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(0);
        Self(vec![0; bytes.div_ceil(size_of::<u128>()).max(1)])
    }

    pub fn get<T>(&self) -> *const T {
        self.0.as_ptr().cast()
    }

    pub fn get_mut<T>(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }

    /// As `Clone::clone_from`, which allocates nothing where both are of one size.
    pub fn copy_from(&mut self, other: &Self) {
        self.0.clone_from(&other.0);
    }
}

/// A length as libopus takes it. No buffer of ours is longer than `c_int` holds; one that is counts as this long.
pub fn length(n: usize) -> c_int {
    c_int::try_from(n).unwrap_or(c_int::MAX)
}

/// What libopus answered, as a length or as an error that says what was being done.
pub fn check(answer: c_int, doing: &str) -> Result<usize> {
    usize::try_from(answer).map_err(|_| match answer {
        sys::OPUS_INVALID_PACKET | sys::OPUS_INTERNAL_ERROR => {
            Error::malformed(0, format!("{doing}: {}", strerror(answer)))
        }
        _ => Error::unsupported(format!("{doing}: {}", strerror(answer))),
    })
}

fn strerror(code: c_int) -> &'static str {
    // SAFETY: opus_strerror takes any number and gives a string constant that ends with a zero.
    unsafe { CStr::from_ptr(sys::opus_strerror(code)) }.to_str().unwrap_or("error of libopus")
}

pub fn version() -> &'static str {
    // SAFETY: opus_get_version_string gives a string constant that ends with a zero.
    unsafe { CStr::from_ptr(sys::opus_get_version_string()) }.to_str().unwrap_or("libopus")
}
