use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, Resampler, SincInterpolationParameters, WindowFunction, calculate_cutoff,
};

use crate::{Error, Result};

/// Length of the filter in samples of the lower rate; see the module for what it gives.
const FILTER_PERIODS: u64 = 160;
/// What the block of the frequency domain may last, as a share of a second. Longer periods go through the slower sinc.
const LONGEST_BLOCK: u64 = 25;
/// Points of the sinc table per sample of the lower rate: with cubic interpolation between them, images stay under the
/// filter's own −104 dB.
const TABLE_POINTS: u64 = 64;
const SINC_BLOCK_SECONDS: f64 = 0.002_5;
const COPY_BLOCK: usize = 1024;

/// What turns a block at one rate into one at another; every kind keeps its history between blocks.
pub(super) enum Engine {
    /// Equal rates.
    Copy,
    /// Rates with a short common period: overlap-add in the frequency domain, blocks of fixed size on both sides.
    Spectral(Box<Fft<f32>>),
    /// Any rates: a windowed sinc, evaluated where each sample falls.
    Sinc {
        engine: Box<Async<f32>>,
        /// Frames out before the first that counts.
        delay: usize,
    },
}

impl Engine {
    pub(super) fn new(from: u32, to: u32, channels: usize) -> Result<Self> {
        if from == to {
            return Ok(Self::Copy);
        }
        let common = greatest_common_divisor(from, to);
        let (wide, narrow) = (u64::from(from), u64::from(from.min(to)));
        let taps = (FILTER_PERIODS * wide).div_ceil(narrow);
        let period = u64::from(from / common);
        // Within half a percent of the filter's length: 44.1 to 16 kHz gets by with one period of 441 samples.
        let periods = (taps - taps / 200).div_ceil(period);
        if u64::from(common) >= LONGEST_BLOCK {
            let spectral = Fft::new_custom(
                from as usize,
                to as usize,
                (periods * period) as usize,
                1,
                channels,
                WindowFunction::BlackmanHarris,
                FixedSync::Both,
            );
            return spectral.map(|engine| Self::Spectral(Box::new(engine))).map_err(refused);
        }
        let ratio = f64::from(to) / f64::from(from);
        let length = (taps as usize).next_multiple_of(8);
        // Left to itself, rubato takes the cutoff for a filter of this length at the lower rate.
        let cutoff = calculate_cutoff::<f32>(FILTER_PERIODS as usize, WindowFunction::BlackmanHarris);
        let points = (TABLE_POINTS * narrow).div_ceil(wide).max(2) as usize;
        let parameters = SincInterpolationParameters::new(length, WindowFunction::BlackmanHarris)
            .f_cutoff(cutoff)
            .oversampling_factor(points);
        // It steps before it evaluates, and its table begins one point after zero.
        let centre = length as f64 / 2.0 - 1.0 / points as f64;
        let delay = (centre * ratio - 1.0).round() as usize;
        let block = (f64::from(from) * SINC_BLOCK_SECONDS).ceil().max(1.0) as usize;
        Async::new_sinc(ratio, 1.0, &parameters, block, channels, FixedAsync::Input)
            .map(|engine| Self::Sinc { engine: Box::new(engine), delay })
            .map_err(refused)
    }

    /// Frames that [`process`](Self::process) takes.
    pub(super) fn block(&self) -> usize {
        match self {
            Self::Copy => COPY_BLOCK,
            Self::Spectral(engine) => engine.input_frames_next(),
            Self::Sinc { engine, .. } => engine.input_frames_next(),
        }
    }

    /// The most frames that a block can give.
    pub(super) fn most_out(&self) -> usize {
        match self {
            Self::Copy => 0,
            Self::Spectral(engine) => engine.output_frames_max(),
            Self::Sinc { engine, .. } => engine.output_frames_max(),
        }
    }

    /// Frames out before the one that stands for the first frame in.
    pub(super) fn delay_out(&self) -> usize {
        match self {
            Self::Copy => 0,
            // The filter is centred on the middle sample of the block, rounded down.
            Self::Spectral(engine) => {
                let (size_in, size_out) = (engine.fft_size_in(), engine.fft_size_out());
                (2 * (size_in / 2) * size_out + size_in) / (2 * size_in)
            }
            Self::Sinc { delay, .. } => *delay,
        }
    }

    /// Convert one block of interleaved frames; returns the frames written to `out`.
    pub(super) fn process(&mut self, block: &[f32], out: &mut [f32], channels: usize) -> usize {
        match self {
            Self::Copy => 0,
            Self::Spectral(engine) => convert(engine.as_mut(), block, out, channels),
            Self::Sinc { engine, .. } => convert(engine.as_mut(), block, out, channels),
        }
    }

    pub(super) fn reset(&mut self) {
        match self {
            Self::Copy => {}
            Self::Spectral(engine) => engine.reset(),
            Self::Sinc { engine, .. } => engine.reset(),
        }
    }
}

fn convert(engine: &mut impl Resampler<f32>, block: &[f32], out: &mut [f32], channels: usize) -> usize {
    let space = out.len() / channels;
    let (Ok(input), Ok(mut output)) = (
        InterleavedSlice::new(block, channels, block.len() / channels),
        InterleavedSlice::new_mut(out, channels, space),
    ) else {
        unreachable!("both buffers hold whole frames")
    };
    match engine.process_into_buffer(&input, &mut output, None) {
        Ok((_, frames)) => frames,
        Err(error) => unreachable!("the buffers have the sizes that the engine asked for: {error}"),
    }
}

fn refused(error: rubato::ResamplerConstructionError) -> Error {
    Error::unsupported(format!("these sample rates cannot be converted into each other: {error}"))
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
