//! Return loss and its enhancement, from the powers at each point.

use super::EchoMetrics;
use super::signals::energy;

/// Memory of the averages: about a second of echo.
const KEPT: f64 = 0.99;
/// Frames of echo before an average says anything.
const LEAST_FRAMES: u32 = 50;

/// Averages over the frames in which there was an echo and nothing else.
#[derive(Default)]
pub(super) struct Meter {
    far: f64,
    near: f64,
    echo: f64,
    out: f64,
    /// Powers of the last frame, as what goes out is a frame behind.
    last: (f64, f64, f64),
    frames: u32,
    double_talk: bool,
}

impl Meter {
    pub fn update(&mut self, far: &[f32], near: &[f32], echo: &[f32], out: &[f32], heard: bool, talking: bool) {
        let now = (f64::from(energy(far)), f64::from(energy(near)), f64::from(energy(echo)));
        let last = std::mem::replace(&mut self.last, now);
        self.double_talk = heard && talking;
        if !heard || talking {
            return;
        }
        self.frames = self.frames.saturating_add(1);
        self.far = KEPT * self.far + last.0;
        self.near = KEPT * self.near + last.1;
        self.echo = KEPT * self.echo + last.2;
        self.out = KEPT * self.out + f64::from(energy(out));
    }

    /// Whether there was near-end speech over an echo in the last frame.
    pub fn double_talk(&self) -> bool {
        self.double_talk
    }

    /// Return loss and enhancement; the rest is empty.
    pub fn metrics(&self) -> EchoMetrics {
        let known = |above: f64, below: f64| {
            (self.frames >= LEAST_FRAMES && above > 0.0 && below > 0.0).then(|| (10.0 * (above / below).log10()) as f32)
        };
        EchoMetrics {
            erl_db: known(self.far, self.echo),
            erle_db: known(self.near, self.out),
            ..EchoMetrics::default()
        }
    }
}
