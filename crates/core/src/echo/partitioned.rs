//! The default canceller: delay estimator, Kalman filter, residual suppressor.

use super::EchoMetrics;
use super::delay::DelayEstimator;
use super::kalman::KalmanFilter;
use super::meter::Meter;
use super::signals::HighPass;
use super::spectrum::{Fourier, History, Spectrum};
use super::suppress::Suppressor;

/// Frames of 10 ms that the filter's response covers.
const PARTITIONS: usize = 25;
/// Frames of 10 ms in which the echo's beginning is looked for.
const REACH: usize = 60;
/// The response begins this many frames before the echo does, and may do so by up to `SLACK` frames more or less.
const LEAD: usize = 1;
const SLACK: usize = 2;
/// Nothing below is speech; loudspeakers and desks rumble there.
const HIGH_PASS_HZ: f32 = 60.0;

pub(super) struct Partitioned {
    hop: usize,
    fourier: Fourier,
    history: History,
    delay: DelayEstimator,
    filter: KalmanFilter,
    suppressor: Suppressor,
    high_pass: HighPass,
    meter: Meter,
    /// Age in frames of the far end's frame at which the response begins.
    start: usize,
    /// Whether that is where the delay estimator found it.
    aligned: bool,
    spectrum: Spectrum,
    near: Vec<f32>,
    last_near: Vec<f32>,
    echo: Vec<f32>,
    error: Vec<f32>,
}

impl Partitioned {
    pub fn new(sample_rate: u32) -> Self {
        let hop = sample_rate as usize / 100;
        Self {
            hop,
            fourier: Fourier::new(hop),
            history: History::new(hop, REACH + PARTITIONS),
            delay: DelayEstimator::new(sample_rate, hop, REACH),
            filter: KalmanFilter::new(hop, PARTITIONS),
            suppressor: Suppressor::new(sample_rate, hop),
            high_pass: HighPass::new(HIGH_PASS_HZ, sample_rate),
            meter: Meter::default(),
            start: 0,
            aligned: false,
            spectrum: Spectrum::new(hop + 1),
            near: vec![0.0; hop],
            last_near: vec![0.0; hop],
            echo: vec![0.0; hop],
            error: vec![0.0; hop],
        }
    }

    /// One frame of 10 ms; `out` is a frame behind `near`.
    pub fn process(&mut self, far: &[f32], near: &[f32], out: &mut [f32]) {
        self.history.push(far, &mut self.fourier);
        self.high_pass.process(near, &mut self.near);
        self.align();
        self.subtract();
        self.suppressor.process(&self.error, &self.echo, self.filter.misfit(), &mut self.fourier, out);
        if self.suppressor.residual().take_wrong() {
            self.filter.doubt();
        }
        let (heard, near) = (self.suppressor.residual().echo_heard(), self.suppressor.residual().near_talks());
        self.meter.update(far, &self.near, &self.echo, out, heard, near);
    }

    /// Look for the echo's beginning and put the response where it is.
    fn align(&mut self) {
        let (first, second) = self.fourier.input().split_at_mut(self.hop);
        first.copy_from_slice(&self.last_near);
        second.copy_from_slice(&self.near);
        self.last_near.copy_from_slice(&self.near);
        self.fourier.forward(&mut self.spectrum);
        self.delay.update(&self.history, &self.spectrum);
        if let Some(found) = self.delay.found()
            && (found < self.start || found > self.start + LEAD + SLACK)
        {
            self.begin_at(found.saturating_sub(LEAD));
            self.aligned = true;
        }
    }

    fn begin_at(&mut self, start: usize) {
        let start = start.min(REACH);
        self.filter.shift(start as isize - self.start as isize, self.aligned);
        self.start = start;
    }

    /// Take the estimated echo away and learn from what is left.
    fn subtract(&mut self) {
        self.filter.estimate(&self.history, self.start, &mut self.spectrum);
        self.echo.copy_from_slice(&self.fourier.inverse(&self.spectrum)[self.hop..]);
        for ((error, near), echo) in self.error.iter_mut().zip(&self.near).zip(&self.echo) {
            *error = near - echo;
        }
        let (first, second) = self.fourier.input().split_at_mut(self.hop);
        first.fill(0.0);
        second.copy_from_slice(&self.error);
        self.fourier.forward(&mut self.spectrum);
        self.filter.update(&self.history, self.start, &self.spectrum, &mut self.fourier);
    }

    /// Begin looking at `milliseconds`; evidence overrules it.
    pub fn hint(&mut self, milliseconds: u32) {
        if self.delay.found().is_none() {
            self.begin_at((milliseconds as usize / 10).saturating_sub(LEAD));
        }
    }

    /// `frames` of the far end were left out: from now on the echo is that much farther behind it.
    pub fn skip(&mut self, frames: usize) {
        self.start = (self.start + frames).min(REACH);
        self.delay.skip(frames);
    }

    pub fn metrics(&self) -> EchoMetrics {
        let samples = self.start * self.hop + self.filter.peak();
        EchoMetrics {
            delay_ms: self.delay.found().map(|_| samples as f32 * 10.0 / self.hop as f32),
            double_talk: Some(self.meter.double_talk()),
            ..self.meter.metrics()
        }
    }
}
