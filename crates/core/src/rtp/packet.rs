use crate::{Error, Result};

/// Bytes of the fixed header.
pub const HEADER_SIZE: usize = 12;

/// A parsed packet (RFC 3550 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// 16 bits, as sent.
    pub sequence_number: u16,
    /// 32 bits, in samples of the stream's clock.
    pub timestamp: u32,
    /// The sender's synchronisation source.
    pub ssrc: u32,
    /// The marker bit.
    pub marker: bool,
    /// 7 bits.
    pub payload_type: u8,
    /// What comes after the header and its extensions and before the padding.
    pub payload: &'a [u8],
}

/// Parse one packet.
///
/// # Errors
/// [`Error::Malformed`] where it is not RTP version 2, or shorter than its own fields say.
pub fn parse(data: &[u8]) -> Result<Packet<'_>> {
    let Some((header, _)) = data.split_first_chunk::<HEADER_SIZE>() else {
        let what = format!("an RTP packet has at least {HEADER_SIZE} bytes, this one {}", data.len());
        return Err(Error::malformed(data.len() as u64, what));
    };
    let [first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *header;
    let payload = match first {
        0x80 => &data[HEADER_SIZE..],
        _ => payload(first, data)?,
    };
    Ok(Packet {
        sequence_number: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
        marker: second & 0x80 != 0,
        payload_type: second & 0x7f,
        payload,
    })
}

/// The payload of a packet with contributing sources, an extension or padding.
fn payload(first: u8, data: &[u8]) -> Result<&[u8]> {
    if first >> 6 != 2 {
        return Err(Error::malformed(0, format!("RTP version {}; this server speaks version 2", first >> 6)));
    }
    let mut begin = HEADER_SIZE + 4 * usize::from(first & 0x0f);
    let mut end = data.len();
    if first & 0x10 != 0 {
        let Some(words) = data.get(begin + 2..begin + 4) else {
            return Err(Error::malformed(begin as u64, "the RTP header extension is cut off"));
        };
        begin += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    if begin > end {
        let what = format!("the RTP header says it is {begin} bytes long, the packet has {end}");
        return Err(Error::malformed(end as u64, what));
    }
    if first & 0x20 != 0 {
        let padding = if end > begin { usize::from(data[end - 1]) } else { 0 };
        if padding == 0 || padding > end - begin {
            let what = format!("{padding} bytes of RTP padding, where there are {}", end - begin);
            return Err(Error::malformed(end as u64 - 1, what));
        }
        end -= padding;
    }
    Ok(&data[begin..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_payload_is_what_remains_between_the_header_and_the_padding() {
        let mut data = vec![0xb1, 0xe0, 0x12, 0x34, 0, 0, 0, 7, 0, 0, 0, 9];
        data.extend([1, 1, 1, 1]); // one contributing source
        data.extend([0xbe, 0xde, 0, 1, 5, 6, 7, 8]); // an extension of one word
        data.extend(b"speech");
        data.extend([0, 0, 3]);
        let packet = parse(&data).unwrap();
        assert_eq!(packet.payload, b"speech");
        assert_eq!((packet.sequence_number, packet.timestamp, packet.ssrc), (0x1234, 7, 9));
        assert!(packet.marker);
        assert_eq!(packet.payload_type, 0x60);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_packet_or_an_error(data in proptest::collection::vec(any::<u8>(), 0..90)) {
            if let Ok(packet) = parse(&data) {
                prop_assert_eq!(data[0] >> 6, 2);
                prop_assert!(packet.payload.len() + HEADER_SIZE <= data.len());
            }
        }
    }
}
