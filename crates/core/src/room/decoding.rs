//! From a participant's format to a jitter buffer, and from its frames to those of the room.

use super::config::{Input, MixRoomConfig};
use crate::{
    Error, Result,
    g711::Law,
    jitter::{self, FrameDecoder, G711Decoder, JitterBuffer, OpusDecoder, PcmDecoder, PcmFormat, SAMPLE_RATES},
    mixer::{InputFormat, RoomConfig, rate::Converter},
    opus::Decoder,
};

pub(super) type Buffer = JitterBuffer<Box<dyn FrameDecoder + Send>>;

/// Clients that don't send RTP hand over pieces of up to this, and more waits nowhere.
const LOCAL_DELAY_MS: u32 = 1_000;
/// Pieces in which samples are kept.
pub(super) const PIECE_MS: u32 = 10;

/// The samples of an input as the jitter buffer sees them: their rate, their channels, and the rate of timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) rate: u32,
    pub(super) channels: u8,
    pub(super) clock_rate: u32,
}

/// The form in which samples wait, of those pushed at this rate and with so many channels.
pub(super) fn pcm_format(sample_rate: u32, channels: u8) -> InputFormat {
    if SAMPLE_RATES.contains(&sample_rate) && channels <= 2 {
        InputFormat::Pcm16 { sample_rate, channels }
    } else {
        InputFormat::Pcm16 { sample_rate: 48_000, channels: 1 }
    }
}

pub(super) fn format(input: Input) -> InputFormat {
    match input {
        Input::Rtp(format) | Input::Packets(format) => format,
        Input::Pcm { sample_rate, channels } => pcm_format(sample_rate, channels),
    }
}

pub(super) fn shape(format: InputFormat, room: &RoomConfig) -> Shape {
    let (rate, channels, clock_rate) = match format {
        // Its decoder gives any rate; timestamps count 48 000 a second (RFC 7587, section 4.1).
        InputFormat::Opus => (room.sample_rate, room.channels, 48_000),
        InputFormat::Pcmu | InputFormat::Pcma => (8_000, 1, 8_000),
        InputFormat::Pcm16 { sample_rate, channels } => (sample_rate, channels, sample_rate),
    };
    Shape { rate, channels, clock_rate }
}

pub(super) fn decoder(format: InputFormat, room: &RoomConfig) -> Result<Box<dyn FrameDecoder + Send>> {
    Ok(match format {
        InputFormat::Opus => Box::new(OpusDecoder::new(Decoder::light(room.sample_rate, room.channels)?)),
        InputFormat::Pcmu => Box::new(G711Decoder::new(Law::Mu)),
        InputFormat::Pcma => Box::new(G711Decoder::new(Law::A)),
        InputFormat::Pcm16 { sample_rate, channels } => {
            Box::new(PcmDecoder::new(PcmFormat::S16Le, sample_rate, channels.into())?)
        }
    })
}

/// Whether a buffer for this input can be made.
pub(super) fn check(input: Input, config: &MixRoomConfig) -> Result<()> {
    if let Input::Pcm { channels, .. } = input
        && channels == 0
    {
        return Err(Error::unsupported("channels must be at least 1"));
    }
    buffer(input, config).map(|_| ())
}

pub(super) fn buffer(input: Input, config: &MixRoomConfig) -> Result<Buffer> {
    let (room, format) = (&config.room, format(input));
    let base =
        jitter::Config { clock_rate: shape(format, room).clock_rate, frame_ms: room.tick_ms, ..config.jitter.clone() };
    let config = match input {
        Input::Rtp(_) => base,
        Input::Pcm { .. } | Input::Packets(_) => jitter::Config {
            prompt: true,
            max_delay_ms: LOCAL_DELAY_MS,
            max_delay_packets: LOCAL_DELAY_MS / PIECE_MS,
            // The next piece comes when this one is over, give or take the sender's timer.
            start_margin_ms: room.tick_ms,
            max_packets: 256,
            max_bytes: 1 << 18,
            ..base
        },
    };
    JitterBuffer::new(config, decoder(format, room)?)
}

/// What makes the room's samples of the buffer's, where they differ.
pub(super) fn converter(format: InputFormat, room: &RoomConfig) -> Option<Converter> {
    let from = shape(format, room);
    let same = from.rate == room.sample_rate && from.channels == room.channels;
    (!same).then(|| Converter::new(from.rate, from.channels, room.sample_rate, room.channels))
}
