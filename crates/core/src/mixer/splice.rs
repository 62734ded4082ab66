//! When a listener can go over from one encoder's packets to another's without a click.
//!
//! Both encoders have been given the same sound for a while, but their states differ, and so does that of the
//! listener's decoder from what the other encoder's packets expect. How much is to be heard of that is not guessed at:
//! the listener's decoder is run here for the short while, and the change made with the first packet that it decodes as
//! it would have in its own stream.

use crate::{Result, mixer::format::OutputFormat, opus::Decoder};

/// Packets that a decoder must have heard to be as good as the listener's own.
const WARM_UP: u32 = 8;

/// After so many packets the change is made as it is. Rare: the states of two encoders drift together.
const LONGEST: u32 = 250;

/// Most that the difference may have of the signal's power, in the worst 2.5 ms against the loudest 2.5 ms, in decades:
/// −30 dB, far under the noise of a speech codec, is asked for at first, and −25 dB in the end.
const AUDIBLE: (f32, f32) = (-3.0, -2.5);

/// Under this power, −70 dBFS, a difference is never audible.
const INAUDIBLE: f32 = 1e-7;

/// A decoder that follows a stream, to know what its listeners' decoders would make of a packet.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    decoder: Box<Decoder>,
    pcm: Vec<f32>,
    packets: u32,
    /// A copy of the decoder, on which the other stream's packet is tried.
    trial: Option<Box<Decoder>>,
    tried: Vec<f32>,
}

impl Follower {
    /// `None` for formats whose packets do not depend on each other.
    pub(super) fn new(format: OutputFormat) -> Result<Option<Self>> {
        let OutputFormat::Opus(config) = format else { return Ok(None) };
        let decoder = Box::new(Decoder::light(config.sample_rate, config.channels)?);
        let pcm = vec![0.0; config.frame_samples() * usize::from(config.channels)];
        Ok(Some(Self { decoder, pcm, packets: 0, trial: None, tried: Vec::new() }))
    }

    /// Hear the stream's next packet.
    pub(super) fn hear(&mut self, packet: &[u8]) -> Result<()> {
        self.packets += 1;
        self.decoder.decode_float(packet, &mut self.pcm).map(|_| ())
    }

    /// Whether this stream's listeners can be given `packet`, which `other` has just heard in its own stream, and stay
    /// there.
    pub(super) fn joins(&mut self, other: &Self, packet: &[u8]) -> Result<bool> {
        if self.packets < WARM_UP || other.packets < WARM_UP {
            return Ok(false);
        }
        if self.packets >= LONGEST {
            return Ok(true);
        }
        let trial = self.trial.get_or_insert_with(|| self.decoder.clone());
        trial.copy_from(&self.decoder);
        self.tried.resize(self.pcm.len(), 0.0);
        trial.decode_float(packet, &mut self.tried)?;
        let step = (self.tried.len() / 8).max(1);
        let (mut worst, mut loudest) = (0.0_f32, 0.0_f32);
        for (tried, right) in self.tried.chunks(step).zip(other.pcm.chunks(step)) {
            let length = right.len() as f32;
            worst = worst.max(tried.iter().zip(right).map(|(a, b)| (a - b) * (a - b)).sum::<f32>() / length);
            loudest = loudest.max(right.iter().map(|x| x * x).sum::<f32>() / length);
        }
        let waited = self.packets as f32 / LONGEST as f32;
        let audible = 10.0_f32.powf(AUDIBLE.0 + (AUDIBLE.1 - AUDIBLE.0) * waited);
        Ok(worst <= INAUDIBLE.max(loudest * audible))
    }
}
