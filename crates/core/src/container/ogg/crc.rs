//! The checksum of Ogg pages (RFC 3533 §6): polynomial 0x04C11DB7, not reflected, from zero, eight bytes a step.

const POLYNOMIAL: u32 = 0x04C1_1DB7;

static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc << 1) ^ if crc & 0x8000_0000 != 0 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before << 8) ^ tables[0][(before >> 24) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// Go on with a checksum that stood at `crc` over `bytes`.
pub(super) fn update(mut crc: u32, bytes: &[u8]) -> u32 {
    let (steps, rest) = bytes.as_chunks::<8>();
    for &[a, b, c, d, e, f, g, h] in steps {
        let [a, b, c, d] = (crc ^ u32::from_be_bytes([a, b, c, d])).to_be_bytes();
        crc = 0;
        for (table, byte) in TABLES.iter().rev().zip([a, b, c, d, e, f, g, h]) {
            crc ^= table[usize::from(byte)];
        }
    }
    for &byte in rest {
        crc = (crc << 8) ^ TABLES[0][usize::from((crc >> 24) as u8 ^ byte)];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_a_step_come_to_the_same_as_one_bit_a_step() {
        let bytes: Vec<u8> = (0..1_000_u32).map(|i| ((i * i) >> 3) as u8).collect();
        for length in [0, 1, 7, 8, 9, 63, 1_000] {
            let mut slow = 0_u32;
            for &byte in &bytes[..length] {
                slow ^= u32::from(byte) << 24;
                for _ in 0..8 {
                    slow = (slow << 1) ^ if slow >> 31 != 0 { POLYNOMIAL } else { 0 };
                }
            }
            assert_eq!(update(0, &bytes[..length]), slow, "{length} bytes");
            assert_eq!(update(update(0, &bytes[..length / 2]), &bytes[length / 2..length]), slow);
        }
    }
}
