//! Small parts that several stages use.

/// Marsaglia's 32-bit xorshift: the same noise in every run.
pub(super) struct Random(u32);

impl Random {
    pub fn new(seed: u32) -> Self {
        Self(seed.max(1))
    }

    /// From -1 to 1.
    pub fn uniform(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 as i32) as f32 * (1.0 / 2_147_483_648.0)
    }
}

/// A second-order Butterworth high-pass filter, transposed direct form II.
pub(super) struct HighPass {
    b0: f32,
    b1: f32,
    a1: f32,
    a2: f32,
    state: [f32; 2],
}

impl HighPass {
    pub fn new(cutoff_hz: f32, sample_rate: u32) -> Self {
        let (sin, cos) = (std::f32::consts::TAU * cutoff_hz / sample_rate as f32).sin_cos();
        let alpha = sin * std::f32::consts::FRAC_1_SQRT_2;
        let a0 = 1.0 + alpha;
        Self {
            b0: (1.0 + cos) / (2.0 * a0),
            b1: -(1.0 + cos) / a0,
            a1: -2.0 * cos / a0,
            a2: (1.0 - alpha) / a0,
            state: [0.0; 2],
        }
    }

    pub fn process(&mut self, input: &[f32], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(input) {
            let y = self.b0 * x + self.state[0];
            self.state[0] = self.b1 * x - self.a1 * y + self.state[1];
            self.state[1] = self.b0 * x - self.a2 * y;
            *out = y;
        }
        for state in &mut self.state {
            // Silence would otherwise end in denormal numbers, which are slow.
            if state.abs() < 1e-20 {
                *state = 0.0;
            }
        }
    }
}

/// Sum of squares.
pub(super) fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum()
}
