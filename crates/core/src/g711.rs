//! G.711: 8 bits a sample by the μ-law or the A-law (ITU-T Recommendation G.711).
//!
//! Samples are 16-bit; μ-law takes their upper 14 bits and A-law their upper 13, with the decision values of the
//! Recommendation. A negative sample right on a decision value goes the way of the ITU's own software (G.191).

use crate::opus::to_int16;
use crate::{Error, Result};

/// One of the two laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Law {
    /// North America and Japan; RTP's PCMU.
    Mu,
    /// Everywhere else; RTP's PCMA.
    A,
}

impl Law {
    /// The byte of a sample.
    pub fn encode_sample(self, sample: i16) -> u8 {
        match self {
            Self::Mu => TO_MU[usize::from(sample.cast_unsigned() >> 2)],
            Self::A => TO_A[usize::from(sample.cast_unsigned() >> 4)],
        }
    }

    /// The sample of a byte.
    pub fn decode_sample(self, byte: u8) -> i16 {
        match self {
            Self::Mu => FROM_MU[usize::from(byte)],
            Self::A => FROM_A[usize::from(byte)],
        }
    }

    /// A byte for each sample; both slices are of one length.
    pub fn encode(self, pcm: &[i16], out: &mut [u8]) -> Result<()> {
        same_length(pcm.len(), out.len())?;
        for (sample, out) in pcm.iter().zip(out) {
            *out = self.encode_sample(*sample);
        }
        Ok(())
    }

    /// As [`encode`](Self::encode), from −1.0 to 1.0; what goes beyond is cut off, and NaN is 0.
    pub fn encode_float(self, pcm: &[f32], out: &mut [u8]) -> Result<()> {
        same_length(pcm.len(), out.len())?;
        for (sample, out) in pcm.iter().zip(out) {
            *out = self.encode_sample(to_int16(*sample));
        }
        Ok(())
    }

    /// A sample for each byte; both slices are of one length.
    pub fn decode(self, bytes: &[u8], out: &mut [i16]) -> Result<()> {
        same_length(bytes.len(), out.len())?;
        for (byte, out) in bytes.iter().zip(out) {
            *out = self.decode_sample(*byte);
        }
        Ok(())
    }

    /// As [`decode`](Self::decode), to −1.0 to 1.0.
    pub fn decode_float(self, bytes: &[u8], out: &mut [f32]) -> Result<()> {
        same_length(bytes.len(), out.len())?;
        for (byte, out) in bytes.iter().zip(out) {
            *out = f32::from(self.decode_sample(*byte)) / 32_768.0;
        }
        Ok(())
    }
}

fn same_length(given: usize, room: usize) -> Result<()> {
    if given == room {
        return Ok(());
    }
    Err(Error::unsupported(format!("{given} samples do not go into room for {room}")))
}

static FROM_MU: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = from_mu(byte as u8);
        byte += 1;
    }
    table
};

static FROM_A: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = from_a(byte as u8);
        byte += 1;
    }
    table
};

static TO_MU: [u8; 1 << 14] = {
    let mut table = [0; 1 << 14];
    let mut index = 0;
    while index < table.len() {
        table[index] = to_mu(((index as u16) << 2).cast_signed() >> 2);
        index += 1;
    }
    table
};

static TO_A: [u8; 1 << 12] = {
    let mut table = [0; 1 << 12];
    let mut index = 0;
    while index < table.len() {
        table[index] = to_a(((index as u16) << 4).cast_signed() >> 4);
        index += 1;
    }
    table
};

/// What makes the ends of the segments powers of two (G.711, table 2a: 33 more than the decision values there).
const MU_BIAS: i16 = 33;

/// All bits of a μ-law byte are sent inverted.
const fn from_mu(byte: u8) -> i16 {
    let bits = !byte;
    let magnitude = ((((bits & 15) as i16) * 2 + MU_BIAS) << (bits >> 4 & 7)) - MU_BIAS;
    4 * if bits & 128 == 0 { magnitude } else { -magnitude }
}

/// Of a sample of 14 bits.
const fn to_mu(sample: i16) -> u8 {
    let biased = magnitude(sample) + MU_BIAS;
    let biased = if biased > 8_191 { 8_191 } else { biased };
    // 33 to 63 is segment 0, and each that follows twice as wide.
    let segment = 10 - biased.leading_zeros();
    let bits = (segment << 4) as u8 | (biased >> (segment + 1) & 15) as u8;
    !(bits | sign(sample))
}

/// Every other bit of an A-law byte is sent inverted, and the sign of what is positive is 1.
const fn from_a(byte: u8) -> i16 {
    let bits = byte ^ 0x55;
    let step = (bits & 15) as i16;
    let magnitude = match bits >> 4 & 7 {
        0 => 2 * step + 1,
        segment => (2 * step + 33) << (segment - 1),
    };
    8 * if bits & 128 != 0 { magnitude } else { -magnitude }
}

/// Of a sample of 12 bits: the last of the 13 never decides.
const fn to_a(sample: i16) -> u8 {
    let magnitude = magnitude(sample);
    let bits = if magnitude < 32 {
        magnitude as u8
    } else {
        let segment = 12 - magnitude.leading_zeros();
        (segment << 4) as u8 | (magnitude >> (segment - 1) & 15) as u8
    };
    (bits | (sign(sample) ^ 128)) ^ 0x55
}

/// By ones' complement, so that −1 lies beside 0 and the lowest sample has a magnitude too.
const fn magnitude(sample: i16) -> i16 {
    if sample < 0 { !sample } else { sample }
}

const fn sign(sample: i16) -> u8 {
    if sample < 0 { 128 } else { 0 }
}
