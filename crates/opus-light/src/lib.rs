//! libopus without its neural networks: no deep loss concealment, no deep redundancy (DRED), no enhancement of speech.
//!
//! It is the same version as that of opusic-sys and, for what it can do, gives the same packets and samples, bit for bit; only that SILK's frame
//! after a loss is faded in (`silk_PLC_glue_frames`), which the other build leaves to its networks even where none runs. An
//! encoder takes 32 kB instead of 109, a decoder 18 instead of 192, and a decoder takes a third less time: the other one
//! prepares for networks that are not asked for. On Intel's processors with AVX2 an encoder of complexity 4 or 5 takes a fifth less
//! time: one of libopus' kernels is used more often, and one loop is ours, which helps AMD's too (`build.rs`).
//!
//! Functions are as in `opus.h`; a state of one library must not be given to the other.

#![no_std]
#![allow(missing_docs, reason = "opus.h describes the functions")]

use core::ffi::c_int;

pub use opusic_sys::{OpusDecoder, OpusEncoder};

unsafe extern "C" {
    #[link_name = "antiphon_light_opus_encoder_get_size"]
    pub fn opus_encoder_get_size(channels: c_int) -> c_int;
    #[link_name = "antiphon_light_opus_encoder_init"]
    pub fn opus_encoder_init(state: *mut OpusEncoder, rate: i32, channels: c_int, application: c_int) -> c_int;
    #[link_name = "antiphon_light_opus_encode"]
    pub fn opus_encode(state: *mut OpusEncoder, pcm: *const i16, frame: c_int, data: *mut u8, room: i32) -> i32;
    #[link_name = "antiphon_light_opus_encode_float"]
    pub fn opus_encode_float(state: *mut OpusEncoder, pcm: *const f32, frame: c_int, data: *mut u8, room: i32) -> i32;
    #[link_name = "antiphon_light_opus_encoder_ctl"]
    pub fn opus_encoder_ctl(state: *mut OpusEncoder, request: c_int, ...) -> c_int;
    #[link_name = "antiphon_light_opus_decoder_get_size"]
    pub fn opus_decoder_get_size(channels: c_int) -> c_int;
    #[link_name = "antiphon_light_opus_decoder_init"]
    pub fn opus_decoder_init(state: *mut OpusDecoder, rate: i32, channels: c_int) -> c_int;
    #[link_name = "antiphon_light_opus_decode"]
    pub fn opus_decode(
        state: *mut OpusDecoder,
        data: *const u8,
        length: i32,
        pcm: *mut i16,
        frame: c_int,
        fec: c_int,
    ) -> c_int;
    #[link_name = "antiphon_light_opus_decode_float"]
    pub fn opus_decode_float(
        state: *mut OpusDecoder,
        data: *const u8,
        length: i32,
        pcm: *mut f32,
        frame: c_int,
        fec: c_int,
    ) -> c_int;
    #[link_name = "antiphon_light_opus_decoder_ctl"]
    pub fn opus_decoder_ctl(state: *mut OpusDecoder, request: c_int, ...) -> c_int;
}
