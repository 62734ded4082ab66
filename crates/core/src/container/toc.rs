use crate::{Error, Result};

/// Most samples of 48 kHz that a packet may hold: 120 ms (RFC 6716 §3.4, R5).
const MAX_DURATION: u32 = 5_760;
/// Longest Opus frame in bytes (R2).
const MAX_FRAME: usize = 1_275;

/// Samples of 48 kHz in a packet, by its table of contents (RFC 6716 §3.1).
///
/// # Errors
/// [`Error::Malformed`] where the packet is empty, lacks its frame count or is longer than 120 ms; the byte is counted
/// within the packet.
pub fn packet_duration(packet: &[u8]) -> Result<u32> {
    duration(packet).map_err(|(at, what)| Error::malformed(at, what))
}

pub(super) fn duration(packet: &[u8]) -> std::result::Result<u32, (u64, &'static str)> {
    let Some(&toc) = packet.first() else { return Err((0, "a packet is empty")) };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => match packet.get(1) {
            Some(count) => u32::from(count & 0x3F),
            None => return Err((1, "a packet ends before its frame count")),
        },
    };
    let duration = frames * frame_duration(toc);
    match duration {
        0 => Err((1, "a packet has no frames")),
        1..=MAX_DURATION => Ok(duration),
        _ => Err((1, "a packet is longer than 120 ms")),
    }
}

/// Samples of 48 kHz in each frame of a packet that begins with `toc`.
pub(super) fn frame_duration(toc: u8) -> u32 {
    let config = u32::from(toc >> 3);
    match config {
        0..=11 => [480, 960, 1_920, 2_880][config as usize % 4],
        12..=15 => [480, 960][config as usize % 2],
        _ => 120 << (config % 4),
    }
}

/// Check a packet of one stream against all seven rules of RFC 6716 §3.4.
///
/// # Errors
/// [`Error::Malformed`], which says which byte of the packet breaks a rule.
pub fn check_packet(packet: &[u8]) -> Result<()> {
    let too_long = |at: usize| Error::malformed(at as u64, "a frame is longer than 1275 bytes");
    packet_duration(packet)?;
    let frames = &packet[1..];
    match packet[0] & 3 {
        0 if frames.len() <= MAX_FRAME => Ok(()),
        1 if !frames.len().is_multiple_of(2) => {
            Err(Error::malformed(1, "two equal frames make an odd number of bytes"))
        }
        1 if frames.len() / 2 <= MAX_FRAME => Ok(()),
        2 => {
            let (first, used) = frame_length(packet, 1)?;
            match frames.len().checked_sub(used + first) {
                Some(second) if second <= MAX_FRAME => Ok(()),
                Some(_) => Err(too_long(1 + used + first)),
                None => Err(Error::malformed(1, "the first frame is longer than the packet")),
            }
        }
        3 => check_counted(packet),
        _ => Err(too_long(1)),
    }
}

fn check_counted(packet: &[u8]) -> Result<()> {
    let (count, variable, padded) = (usize::from(packet[1] & 0x3F), packet[1] & 0x80 != 0, packet[1] & 0x40 != 0);
    let (mut at, mut padding) = (2, 0);
    let mut more = padded;
    while more {
        let byte = *packet.get(at).ok_or_else(|| Error::malformed(at as u64, "the padding's length is cut off"))?;
        at += 1;
        padding += usize::from(byte.min(254));
        more = byte == 255;
    }
    let mut lengths = 0;
    if variable {
        for _ in 1..count {
            let (length, used) = frame_length(packet, at)?;
            at += used;
            lengths += length;
        }
    }
    let Some(left) = packet.len().checked_sub(at + padding + lengths) else {
        return Err(Error::malformed(at as u64, "the frames are longer than the packet"));
    };
    let frame = if variable { left } else { left / count };
    if !variable && !left.is_multiple_of(count) {
        return Err(Error::malformed(at as u64, "equal frames do not fill the packet"));
    }
    if frame > MAX_FRAME {
        return Err(Error::malformed(at as u64, "a frame is longer than 1275 bytes"));
    }
    Ok(())
}

/// A frame's length at `at`, and the bytes that say it (RFC 6716 §3.2.1).
fn frame_length(packet: &[u8], at: usize) -> Result<(usize, usize)> {
    match (packet.get(at), packet.get(at + 1)) {
        (Some(&first @ 0..=251), _) => Ok((first.into(), 1)),
        (Some(&first), Some(&second)) => Ok((usize::from(first) + 4 * usize::from(second), 2)),
        _ => Err(Error::malformed(at as u64, "a frame's length is cut off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_configuration_has_its_frame_size() {
        let silk = [480, 960, 1_920, 2_880];
        let celt = [120, 240, 480, 960];
        for config in 0..32_u8 {
            let wanted = match config {
                0..=11 => silk[config as usize % 4],
                12..=15 => silk[config as usize % 2],
                _ => celt[config as usize % 4],
            };
            assert_eq!(packet_duration(&[config << 3, 1, 2]), Ok(wanted), "configuration {config}");
            assert_eq!(packet_duration(&[config << 3 | 1, 1, 2]), Ok(2 * wanted), "configuration {config}, twice");
        }
    }

    #[test]
    fn no_packet_is_longer_than_120_ms() {
        assert_eq!(packet_duration(&[0x1B, 2]), Ok(5_760)); // 2 x 60 ms
        assert_eq!(packet_duration(&[0x1B, 3]), Err(Error::malformed(1, "a packet is longer than 120 ms")));
        assert_eq!(packet_duration(&[0x83, 48]), Ok(5_760)); // 48 x 2.5 ms
        assert!(packet_duration(&[0x83, 49]).is_err());
    }

    #[test]
    fn what_is_cut_short_is_named_by_its_byte() {
        assert_eq!(packet_duration(&[]), Err(Error::malformed(0, "a packet is empty")));
        assert_eq!(packet_duration(&[0x7B]), Err(Error::malformed(1, "a packet ends before its frame count")));
        assert_eq!(packet_duration(&[0x7B, 0]), Err(Error::malformed(1, "a packet has no frames")));
    }

    #[test]
    fn the_rules_of_frame_lengths_are_checked() {
        assert!(check_packet(&[0x78]).is_ok());
        assert!(check_packet(&vec![0x78; 1_276]).is_ok());
        assert!(check_packet(&vec![0x78; 1_277]).is_err());
        assert!(check_packet(&[0x79, 1, 2]).is_ok());
        assert!(check_packet(&[0x79, 1]).is_err());
        assert!(check_packet(&[0x7A, 1, 2, 3]).is_ok());
        assert!(check_packet(&[0x7A, 3, 2, 3]).is_err());
        assert!(check_packet(&[0x7A, 252]).is_err());
        assert!(check_packet(&[0x7B, 0x83, 1, 1, 9, 9, 9]).is_ok());
        assert!(check_packet(&[0x7B, 0x83, 1, 9, 9, 9, 9]).is_err());
        assert!(check_packet(&[0x7B, 0x42, 2, 9, 9, 0, 0]).is_ok()); // two bytes of padding
        assert!(check_packet(&[0x7B, 0x42, 5, 9, 9, 0, 0]).is_err());
        assert!(check_packet(&[0x7B, 2, 9, 9, 9]).is_err());
    }
}
