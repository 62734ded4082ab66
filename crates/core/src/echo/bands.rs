//! Bands of equal width on the scale of equivalent rectangular bandwidths (Glasberg and Moore, 1990).

use std::ops::Range;

/// Width of a band on that scale: about one and a half auditory filters.
const WIDTH: f32 = 1.5;
/// Where speech is to be looked for.
const SPEECH_HZ: (f32, f32) = (200.0, 4000.0);

pub(super) struct Bands {
    /// Bins of each band.
    pub bins: Vec<Range<usize>>,
    /// The bands in which speech is strong.
    pub speech: Range<usize>,
    /// The bins in which speech is strong.
    pub speech_bins: Range<usize>,
}

impl Bands {
    /// For spectra of `hop + 1` bins up to half of `sample_rate`.
    pub fn new(sample_rate: u32, hop: usize) -> Self {
        let hz = sample_rate as f32 / (2 * hop) as f32;
        let top = SPEECH_HZ.1.min(sample_rate as f32 / 2.0);
        let mut bins: Vec<Range<usize>> = Vec::new();
        for k in 0..=hop {
            let band = index(k as f32 * hz);
            if band < bins.len() {
                bins[band].end = k + 1;
            } else {
                // Low bands can be narrower than a bin; they stay empty.
                bins.resize(band, k..k);
                bins.push(k..k + 1);
            }
        }
        Self {
            bins,
            speech: index(SPEECH_HZ.0)..index(top),
            speech_bins: (SPEECH_HZ.0 / hz) as usize..(top / hz) as usize,
        }
    }
}

fn index(hz: f32) -> usize {
    (21.4 * (1.0 + 0.00437 * hz).log10() / WIDTH) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_cover_every_bin_once() {
        for (rate, hop) in [(8_000, 80), (16_000, 160), (32_000, 320), (48_000, 480)] {
            let bands = Bands::new(rate, hop);
            let all: Vec<usize> = bands.bins.iter().cloned().flatten().collect();
            assert_eq!(all, (0..=hop).collect::<Vec<_>>());
            assert!(bands.speech.end <= bands.bins.len());
        }
    }
}
