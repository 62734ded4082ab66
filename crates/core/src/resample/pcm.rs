use super::{FULL_SCALE, Resampler, quantise};
use crate::{Error, Result};

const SAMPLE_BYTES: usize = 2;

/// Interleaved 16-bit little-endian PCM at any rate in, one channel of the same at another rate out.
///
/// Channels are averaged, exactly for up to eight of them (their sum fits a 32-bit float); rounding and clipping come
/// once, at the end.
pub struct PcmConverter {
    resampler: Resampler,
    channels: usize,
}

impl PcmConverter {
    /// From `channels` interleaved channels at `from` Hz to one at `to` Hz.
    ///
    /// # Errors
    /// As [`Resampler::new`].
    pub fn new(from: u32, channels: u8, to: u32) -> Result<Self> {
        // One channel is resampled, but as many as the resampler knows may come in.
        Resampler::new(from, from, channels)?;
        Ok(Self { resampler: Resampler::new(from, to, 1)?, channels: usize::from(channels) })
    }

    /// Bytes of a sample frame.
    pub fn frame_bytes(&self) -> usize {
        SAMPLE_BYTES * self.channels
    }

    /// As [`Resampler::latency_samples`].
    pub fn latency_samples(&self) -> usize {
        self.resampler.latency_samples()
    }

    /// The most bytes that [`push`](Self::push) can append for so many bytes in, and [`flush`](Self::flush) for none.
    pub fn most_out(&self, bytes: usize) -> usize {
        let frames = (bytes / self.frame_bytes()) as u64;
        SAMPLE_BYTES * (self.resampler.out_for(frames) as usize + self.latency_samples() + 1)
    }

    /// Convert the next bytes, whole sample frames, and append what is ready to `out`.
    ///
    /// # Errors
    /// [`Error::Malformed`] where `data` ends within a sample frame: nothing was taken.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let frame = self.frame_bytes();
        if !data.len().is_multiple_of(frame) {
            return Err(Error::malformed(
                (data.len() - data.len() % frame) as u64,
                format!("{} bytes end within a sample frame of {frame} bytes", data.len()),
            ));
        }
        let channels = self.channels;
        self.resampler.run(
            data.len() / frame,
            |at, block| mix(&data[at * frame..(at + block.len()) * frame], channels, block),
            |ready| append(ready, out),
        );
        Ok(())
    }

    /// End the stream: append what the filter still holds. The next bytes begin a new stream.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.resampler.finish(|ready| append(ready, out));
    }
}

fn mix(data: &[u8], channels: usize, mono: &mut [f32]) {
    let (samples, _) = data.as_chunks::<SAMPLE_BYTES>();
    if channels == 1 {
        for (sample, bytes) in mono.iter_mut().zip(samples) {
            *sample = f32::from(i16::from_le_bytes(*bytes)) * (1.0 / FULL_SCALE);
        }
        return;
    }
    // Full scale is a power of two: dividing by it changes no digit.
    let scale = channels as f32;
    for (sample, frame) in mono.iter_mut().zip(samples.chunks_exact(channels)) {
        let sum: f32 = frame.iter().map(|bytes| f32::from(i16::from_le_bytes(*bytes))).sum();
        *sample = sum / scale * (1.0 / FULL_SCALE);
    }
}

fn append(ready: &[f32], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + SAMPLE_BYTES * ready.len(), 0);
    let (places, _) = out[start..].as_chunks_mut::<SAMPLE_BYTES>();
    for (place, sample) in places.iter_mut().zip(ready) {
        *place = quantise(sample * FULL_SCALE).to_le_bytes();
    }
}
