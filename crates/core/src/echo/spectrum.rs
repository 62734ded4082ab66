//! Real Fourier transforms of one frame size, and the spectra of the far end's last frames.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// A spectrum from 0 to half the sample rate, real and imaginary parts apart so that loops over bins vectorise.
#[derive(Clone)]
pub(super) struct Spectrum {
    pub re: Vec<f32>,
    pub im: Vec<f32>,
}

impl Spectrum {
    pub fn new(bins: usize) -> Self {
        Self { re: vec![0.0; bins], im: vec![0.0; bins] }
    }

    /// Power of each bin.
    pub fn power(&self, out: &mut [f32]) {
        for ((out, re), im) in out.iter_mut().zip(&self.re).zip(&self.im) {
            *out = re * re + im * im;
        }
    }
}

/// Transforms of `2 × hop` samples, unnormalised forward, normalised back. Nothing is allocated after `new`.
pub(super) struct Fourier {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    time: Vec<f32>,
    bins: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
}

impl Fourier {
    pub fn new(hop: usize) -> Self {
        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(2 * hop);
        let inverse = planner.plan_fft_inverse(2 * hop);
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        Self {
            forward,
            inverse,
            time: vec![0.0; 2 * hop],
            bins: vec![Complex::default(); hop + 1],
            scratch: vec![Complex::default(); scratch],
        }
    }

    /// The samples to transform next: write all of them, then call [`Self::forward`].
    pub fn input(&mut self) -> &mut [f32] {
        &mut self.time
    }

    /// Transform what is in [`Self::input`]; its contents are lost.
    pub fn forward(&mut self, out: &mut Spectrum) {
        // The lengths are those the plan was made for, the one thing that can be wrong here.
        let done = self.forward.process_with_scratch(&mut self.time, &mut self.bins, &mut self.scratch);
        debug_assert!(done.is_ok());
        for ((value, re), im) in self.bins.iter().zip(&mut out.re).zip(&mut out.im) {
            *re = value.re;
            *im = value.im;
        }
    }

    /// Back to samples.
    pub fn inverse(&mut self, spectrum: &Spectrum) -> &mut [f32] {
        let scale = 1.0 / self.time.len() as f32;
        for ((value, re), im) in self.bins.iter_mut().zip(&spectrum.re).zip(&spectrum.im) {
            *value = Complex::new(re * scale, im * scale);
        }
        let last = self.bins.len() - 1;
        self.bins[0].im = 0.0;
        self.bins[last].im = 0.0;
        let done = self.inverse.process_with_scratch(&mut self.bins, &mut self.time, &mut self.scratch);
        debug_assert!(done.is_ok());
        &mut self.time
    }
}

/// Spectra of the far end's frames, newest first; each covers its frame and the one before (overlap-save).
pub(super) struct History {
    spectra: Vec<Spectrum>,
    newest: usize,
    last: Vec<f32>,
}

impl History {
    pub fn new(hop: usize, frames: usize) -> Self {
        Self { spectra: vec![Spectrum::new(hop + 1); frames], newest: 0, last: vec![0.0; hop] }
    }

    pub fn push(&mut self, frame: &[f32], fourier: &mut Fourier) {
        self.newest = (self.newest + self.spectra.len() - 1) % self.spectra.len();
        let hop = self.last.len();
        fourier.input()[..hop].copy_from_slice(&self.last);
        fourier.input()[hop..].copy_from_slice(frame);
        self.last.copy_from_slice(frame);
        fourier.forward(&mut self.spectra[self.newest]);
    }

    /// The spectrum of `age` frames ago.
    pub fn get(&self, age: usize) -> &Spectrum {
        &self.spectra[(self.newest + age) % self.spectra.len()]
    }
}
