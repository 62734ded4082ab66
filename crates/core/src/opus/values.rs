//! The values that settings take. Each function gives back a right value, and refuses another with the right ones.

use crate::{Error, Result};

/// Hertz that Opus takes and gives.
pub const SAMPLE_RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

/// Milliseconds of deep redundancy a packet can carry.
pub const MAX_DRED_MS: u32 = 1_040;

/// One of [`SAMPLE_RATES`].
pub fn sample_rate(value: i64) -> Result<u32> {
    SAMPLE_RATES.into_iter().find(|&rate| i64::from(rate) == value).ok_or_else(|| {
        let rates = SAMPLE_RATES.map(|rate| rate.to_string()).join(", ");
        Error::unsupported(format!("sample_rate must be one of {rates} Hz; got {value}"))
    })
}

/// 1 or 2.
pub fn channels(value: i64) -> Result<u8> {
    match value {
        1 => Ok(1),
        2 => Ok(2),
        _ => Err(Error::unsupported(format!("channels must be 1 or 2; got {value}"))),
    }
}

/// Bits a second.
pub fn bitrate(value: i64) -> Result<u32> {
    within("bitrate", value, 6_000, 510_000, " bit/s")
}

/// Of an encoder or a decoder.
pub fn complexity(value: i64) -> Result<u8> {
    within("complexity", value, 0, 10, "")
}

/// Percent.
pub fn expected_loss(value: i64) -> Result<u8> {
    within("expected_loss", value, 0, 100, " %")
}

/// Milliseconds, in steps of 10.
pub fn dred_ms(value: i64) -> Result<u32> {
    if value % 10 == 0 {
        return within("dred_ms", value, 0, MAX_DRED_MS.into(), " ms");
    }
    Err(Error::unsupported(format!("dred_ms must be a multiple of 10, from 0 to {MAX_DRED_MS}; got {value}")))
}

fn within<T: TryFrom<i64>>(name: &str, value: i64, least: i64, most: i64, unit: &str) -> Result<T> {
    Some(value)
        .filter(|value| (least..=most).contains(value))
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| Error::unsupported(format!("{name} must be {least} to {most}{unit}; got {value}")))
}
