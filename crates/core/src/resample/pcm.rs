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
    match channels {
        1 => average::<1, 2>(data, mono),
        2 => average::<2, 4>(data, mono),
        _ => {
            let (samples, _) = data.as_chunks::<SAMPLE_BYTES>();
            // Full scale is a power of two: dividing by it changes no digit.
            for (sample, frame) in mono.iter_mut().zip(samples.chunks_exact(channels)) {
                let sum: f32 = frame.iter().map(|bytes| f32::from(i16::from_le_bytes(*bytes))).sum();
                *sample = sum / channels as f32 * (1.0 / FULL_SCALE);
            }
        }
    }
}

/// One or two channels, by far the most frequent, with loops of fixed length. Both divisors are powers of two.
fn average<const CHANNELS: usize, const BYTES: usize>(data: &[u8], mono: &mut [f32]) {
    let (frames, _) = data.as_chunks::<BYTES>();
    let scale = 1.0 / (CHANNELS as f32 * FULL_SCALE);
    for (sample, frame) in mono.iter_mut().zip(frames) {
        let mut sum = 0;
        for channel in 0..CHANNELS {
            sum += i32::from(i16::from_le_bytes([frame[2 * channel], frame[2 * channel + 1]]));
        }
        *sample = sum as f32 * scale;
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
