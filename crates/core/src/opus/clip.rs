use opusic_sys as sys;

use super::values;
use crate::{Error, Result};

/// Brings samples beyond ±1 back into range by bending the peaks of their half-waves rather than cutting them off, which
/// is what libopus' own 16-bit decoder does. Goes through a stream: one for each.
#[derive(Debug, Clone)]
pub struct SoftClip {
    channels: u8,
    memory: [f32; 2],
}

impl SoftClip {
    /// For a stream of 1 or 2 interleaved channels.
    pub fn new(channels: u8) -> Result<Self> {
        values::channels(channels.into())?;
        Ok(Self { channels, memory: [0.0; 2] })
    }

    /// Bends what is beyond ±1. `pcm` holds whole samples of all channels. NaN counts as 0.
    pub fn clip(&mut self, pcm: &mut [f32]) -> Result<()> {
        let channels = usize::from(self.channels);
        if !pcm.len().is_multiple_of(channels) {
            return Err(Error::unsupported(format!(
                "the samples must be a multiple of {channels} channels; got {}",
                pcm.len()
            )));
        }
        for sample in pcm.iter_mut().filter(|sample| sample.is_nan()) {
            *sample = 0.0;
        }
        // libopus counts samples in 32 bits; a second at a time stays far below.
        for block in pcm.chunks_mut(48_000 * channels) {
            // SAFETY: `block` holds length / channels samples of each channel, and the memory one float for each.
            unsafe {
                sys::opus_pcm_soft_clip(
                    block.as_mut_ptr(),
                    super::ffi::length(block.len() / channels),
                    self.channels.into(),
                    self.memory.as_mut_ptr(),
                );
            }
        }
        Ok(())
    }

    /// Clips `pcm` in place and rounds it to 16 bits, to the nearest as libopus does. Both are of one length.
    pub fn clip_to_int16(&mut self, pcm: &mut [f32], out: &mut [i16]) -> Result<()> {
        if pcm.len() != out.len() {
            return Err(Error::unsupported(format!("{} samples do not go into room for {}", pcm.len(), out.len())));
        }
        self.clip(pcm)?;
        for (sample, out) in pcm.iter().zip(out) {
            *out = to_int16(*sample);
        }
        Ok(())
    }
}

/// The nearest 16-bit sample, cut off at the ends of the range.
pub fn to_int16(sample: f32) -> i16 {
    // `as` saturates, and makes 0 of NaN.
    (sample * 32_768.0).round_ties_even() as i16
}
