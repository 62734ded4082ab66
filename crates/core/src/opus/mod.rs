//! Opus (RFC 6716) by libopus, with its deep loss concealment and deep redundancy (DRED) built in.
//!
//! Encoder and decoder work on interleaved samples, `i16` or `f32`; nothing is allocated after they are made. Lengths of
//! slices count samples of all channels; lengths that are returned count samples of one channel.
//!
//! ```
//! use antiphon_core::opus::{Decoder, Encoder, EncoderConfig, MAX_PACKET_BYTES};
//!
//! let mut encoder = Encoder::new(&EncoderConfig::default())?;
//! let mut decoder = Decoder::new(48_000, 1)?;
//! let mut packet = [0; MAX_PACKET_BYTES];
//! let length = encoder.encode(&[0; 960], &mut packet)?;
//! let mut pcm = [0; 960];
//! assert_eq!(decoder.decode(&packet[..length], &mut pcm)?, 960);
//! # Ok::<(), antiphon_core::Error>(())
//! ```

mod clip;
mod config;
mod decoder;
mod dred;
mod encoder;
mod ffi;
mod packet;
pub mod values;

pub use clip::{SoftClip, to_int16};
pub use config::{Application, EncoderConfig, FrameSize};
pub use decoder::Decoder;
pub use dred::Dred;
pub use encoder::Encoder;
pub use packet::{Bandwidth, Mode, PacketInfo, has_fec, packet_samples};
pub use values::{MAX_DRED_MS, SAMPLE_RATES};

/// What one packet of at most 60 ms can take: three frames of 1275 bytes and their lengths.
pub const MAX_PACKET_BYTES: usize = 3 * 1275 + 7;

/// Longest packet there is: 120 ms (RFC 6716, section 3.2.5).
pub const MAX_PACKET_MICROS: u32 = 120_000;

/// The libopus built in, such as `libopus 1.6.1`.
pub fn version() -> &'static str {
    ffi::version()
}
