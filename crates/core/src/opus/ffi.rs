//! The little that encoder, decoder and DRED share of libopus' C interface.

use std::ffi::{CStr, c_int};

use antiphon_opus_light as light;
use opusic_sys as sys;
use sys::{OpusDecoder, OpusEncoder};

use crate::{Error, Result};

/// The functions of one of the two builds of libopus that there are. A state is known to that which initialised it only.
pub struct Library {
    pub encoder_size: unsafe extern "C" fn(c_int) -> c_int,
    pub encoder_init: unsafe extern "C" fn(*mut OpusEncoder, i32, c_int, c_int) -> c_int,
    pub encoder_ctl: unsafe extern "C" fn(*mut OpusEncoder, c_int, ...) -> c_int,
    pub encode: unsafe extern "C" fn(*mut OpusEncoder, *const i16, c_int, *mut u8, i32) -> i32,
    pub encode_float: unsafe extern "C" fn(*mut OpusEncoder, *const f32, c_int, *mut u8, i32) -> i32,
    pub decoder_size: unsafe extern "C" fn(c_int) -> c_int,
    pub decoder_init: unsafe extern "C" fn(*mut OpusDecoder, i32, c_int) -> c_int,
    pub decoder_ctl: unsafe extern "C" fn(*mut OpusDecoder, c_int, ...) -> c_int,
    pub decode: unsafe extern "C" fn(*mut OpusDecoder, *const u8, i32, *mut i16, c_int, c_int) -> c_int,
    pub decode_float: unsafe extern "C" fn(*mut OpusDecoder, *const u8, i32, *mut f32, c_int, c_int) -> c_int,
    /// Whether its networks are built in: deep concealment, deep redundancy, enhancement of speech.
    pub deep: bool,
}

/// libopus with all it has.
pub static DEEP: Library = Library {
    encoder_size: sys::opus_encoder_get_size,
    encoder_init: sys::opus_encoder_init,
    encoder_ctl: sys::opus_encoder_ctl,
    encode: sys::opus_encode,
    encode_float: sys::opus_encode_float,
    decoder_size: sys::opus_decoder_get_size,
    decoder_init: sys::opus_decoder_init,
    decoder_ctl: sys::opus_decoder_ctl,
    decode: sys::opus_decode,
    decode_float: sys::opus_decode_float,
    deep: true,
};

/// libopus without its networks, whose states are small.
pub static LIGHT: Library = Library {
    encoder_size: light::opus_encoder_get_size,
    encoder_init: light::opus_encoder_init,
    encoder_ctl: light::opus_encoder_ctl,
    encode: light::opus_encode,
    encode_float: light::opus_encode_float,
    decoder_size: light::opus_decoder_get_size,
    decoder_init: light::opus_decoder_init,
    decoder_ctl: light::opus_decoder_ctl,
    decode: light::opus_decode,
    decode_float: light::opus_decode_float,
    deep: false,
};

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
