use std::str::FromStr;

use super::values;
use crate::{Error, Result};

/// What the encoder tunes itself for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Application {
    /// Speech: intelligible at low rates, can carry in-band FEC.
    #[default]
    Voip,
    /// Anything, as close to the input as it gets.
    Audio,
    /// CELT only, 4 ms less delay. Cannot carry in-band FEC.
    RestrictedLowDelay,
}

impl Application {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Voip, Self::Audio, Self::RestrictedLowDelay];

    /// `voip`, `audio` or `restricted_lowdelay`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Voip => "voip",
            Self::Audio => "audio",
            Self::RestrictedLowDelay => "restricted_lowdelay",
        }
    }
}

impl FromStr for Application {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|application| application.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::unsupported(format!("application must be one of {names}; got {name:?}"))
        })
    }
}

/// How much audio the encoder puts into a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum FrameSize {
    /// 2.5 ms. CELT only: no in-band FEC.
    Ms2_5,
    /// 5 ms. CELT only: no in-band FEC.
    Ms5,
    /// 10 ms.
    Ms10,
    /// 20 ms.
    #[default]
    Ms20,
    /// 40 ms.
    Ms40,
    /// 60 ms.
    Ms60,
}

impl FrameSize {
    /// All there are, the shortest first.
    pub const ALL: [Self; 6] = [Self::Ms2_5, Self::Ms5, Self::Ms10, Self::Ms20, Self::Ms40, Self::Ms60];

    /// Microseconds of audio.
    pub fn micros(self) -> u32 {
        match self {
            Self::Ms2_5 => 2_500,
            Self::Ms5 => 5_000,
            Self::Ms10 => 10_000,
            Self::Ms20 => 20_000,
            Self::Ms40 => 40_000,
            Self::Ms60 => 60_000,
        }
    }

    /// Milliseconds of audio.
    pub fn millis(self) -> f64 {
        f64::from(self.micros()) / 1_000.0
    }

    /// Samples of one channel at `sample_rate`, one of [`SAMPLE_RATES`](values::SAMPLE_RATES).
    pub fn samples(self, sample_rate: u32) -> usize {
        sample_rate as usize / 400 * (self.micros() / 2_500) as usize
    }

    /// The size of so many milliseconds.
    pub fn from_millis(millis: f64) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|size| size.millis() == millis)
            .ok_or_else(|| Error::unsupported(format!("frame must be 2.5, 5, 10, 20, 40 or 60 ms; got {millis}")))
    }
}

/// Everything an [`Encoder`](super::Encoder) is told. The default is [`EncoderConfig::voice_high_quality`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderConfig {
    /// Hertz of the samples given: one of [`SAMPLE_RATES`](values::SAMPLE_RATES).
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// What to tune for.
    pub application: Application,
    /// Bits a second, 6 000 to 510 000, of which DRED takes its part.
    pub bitrate: u32,
    /// 0 (fastest) to 10 (best).
    pub complexity: u8,
    /// Send next to nothing while nobody speaks. See [`Encoder::in_dtx`](super::Encoder::in_dtx).
    pub dtx: bool,
    /// Let each packet carry a coarse copy of the speech of the one before (in-band forward error correction, RFC 6716
    /// section 2.1.7), as long as `expected_loss` isn't 0. Only SILK can: with
    /// [`Application::RestrictedLowDelay`] and with frames under 10 ms this has no effect, and
    /// [`Encoder::fec`](super::Encoder::fec) answers false; `dred_ms` protects there as well.
    pub fec: bool,
    /// Percent of packets the encoder reckons with losing, 0 to 100: decides how much FEC and DRED there is, and makes
    /// frames depend less upon each other.
    pub expected_loss: u8,
    /// Let the size of packets follow the signal; otherwise every packet is of one size.
    pub vbr: bool,
    /// With `vbr`: never use more than the bit reservoir of one frame beyond the bitrate.
    pub constrained_vbr: bool,
    /// Audio in a packet.
    pub frame: FrameSize,
    /// Milliseconds before its own frame that each packet describes once more (deep redundancy), 0 to 1 040 in steps of
    /// 10, as far as the bitrate has room for it: without `fec` from 24 000 bit/s on, where an `expected_loss` of 5 or
    /// more asks for it; beside `fec` only from 40 000 and 20 % on.
    pub dred_ms: u32,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self::voice_high_quality()
    }
}

impl EncoderConfig {
    /// Full band at 128 kbit/s and highest complexity, FEC for 5 % loss, DTX, unconstrained VBR.
    pub const fn voice_high_quality() -> Self {
        Self {
            sample_rate: 48_000,
            channels: 1,
            application: Application::Voip,
            bitrate: 128_000,
            complexity: 10,
            dtx: true,
            fec: true,
            expected_loss: 5,
            vbr: true,
            constrained_vbr: false,
            frame: FrameSize::Ms20,
            dred_ms: 0,
        }
    }

    /// Wide band at 64 kbit/s, restricted low delay, medium complexity, constant rate, 10 % loss expected.
    ///
    /// `fec` is asked for but can have no effect with this application; the expected loss still makes frames depend
    /// less upon each other.
    pub const fn voice_low_latency() -> Self {
        Self {
            sample_rate: 16_000,
            application: Application::RestrictedLowDelay,
            bitrate: 64_000,
            complexity: 5,
            dtx: false,
            expected_loss: 10,
            vbr: false,
            ..Self::voice_high_quality()
        }
    }

    /// Narrow band at 32 kbit/s, highest complexity, DTX, unconstrained VBR, no protection from loss.
    pub const fn voice_low_bandwidth() -> Self {
        Self { sample_rate: 8_000, bitrate: 32_000, fec: false, expected_loss: 0, ..Self::voice_high_quality() }
    }

    /// Names that [`EncoderConfig::preset`] knows.
    pub const PRESETS: [&str; 3] = ["voice_high_quality", "voice_low_latency", "voice_low_bandwidth"];

    /// The preset of that name.
    pub fn preset(name: &str) -> Result<Self> {
        match name {
            "voice_high_quality" => Ok(Self::voice_high_quality()),
            "voice_low_latency" => Ok(Self::voice_low_latency()),
            "voice_low_bandwidth" => Ok(Self::voice_low_bandwidth()),
            _ => Err(Error::unsupported(format!("preset must be one of {}; got {name:?}", Self::PRESETS.join(", ")))),
        }
    }

    /// Samples of one channel in a frame.
    pub fn frame_samples(&self) -> usize {
        self.frame.samples(self.sample_rate)
    }

    /// Whether in-band FEC can have an effect: asked for, and the mode of coding can carry it.
    pub fn carries_fec(&self) -> bool {
        self.fec && self.application != Application::RestrictedLowDelay && self.frame >= FrameSize::Ms10
    }

    /// An error that lists what is right, if any value is not.
    pub fn check(&self) -> Result<()> {
        values::sample_rate(self.sample_rate.into())?;
        values::channels(self.channels.into())?;
        values::bitrate(self.bitrate.into())?;
        values::complexity(self.complexity.into())?;
        values::expected_loss(self.expected_loss.into())?;
        values::dred_ms(self.dred_ms.into())?;
        Ok(())
    }
}
