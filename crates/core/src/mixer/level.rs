//! Levels as RFC 6464 counts them.

/// The level of digital silence in dBov, the least that RFC 6464 can say.
pub const SILENCE: f32 = -127.0;

/// The level of samples in dBov: root mean square over the overload point, 0 for a square wave at full scale
/// (RFC 6464, section 4), never under [`SILENCE`].
pub fn dbov(pcm: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let chunks = pcm.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|x| x * x).sum();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x * x;
        }
    }
    of_power((sums.iter().sum::<f32>() + rest) / pcm.len().max(1) as f32)
}

/// The level of a mean square in dBov.
pub fn of_power(power: f32) -> f32 {
    if power.is_nan() { SILENCE } else { (10.0 * power.log10()).clamp(SILENCE, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_scale_and_silence_are_the_ends() {
        assert_eq!(dbov(&[1.0, -1.0].repeat(500)), 0.0);
        assert_eq!(dbov(&[0.0; 100]), SILENCE);
        assert_eq!(dbov(&[]), SILENCE);
        assert_eq!(dbov(&[f32::NAN; 9]), SILENCE);
        assert!((dbov(&[0.1; 959]) + 20.0).abs() < 1e-3);
    }
}
