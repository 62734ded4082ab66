//! WebSocket frames as a server sends them (RFC 6455, section 5.2).

const FINAL: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
/// Payloads up to here have their length in the second byte.
const SHORT: usize = 125;
/// Second byte where two bytes of length follow.
const TWO_BYTES: u8 = 126;

/// The longest payload of a packet: its length takes two bytes at most.
pub(crate) const MOST_PAYLOAD: usize = u16::MAX as usize;

/// Appends a packet as a frame.
pub(crate) fn binary(out: &mut Vec<u8>, payload: &[u8]) {
    header(out, BINARY, payload.len());
    out.extend_from_slice(payload);
}

/// Appends what a connection is told that was too slow for some packets.
pub(crate) fn dropped(out: &mut Vec<u8>, packets: u64, total: u64) {
    let text = format!(r#"{{"type":"dropped","packets":{packets},"total":{total}}}"#);
    header(out, TEXT, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn header(out: &mut Vec<u8>, opcode: u8, length: usize) {
    debug_assert!(length <= MOST_PAYLOAD);
    out.push(FINAL | opcode);
    if length <= SHORT {
        out.push(length as u8);
    } else {
        out.push(TWO_BYTES);
        out.extend_from_slice(&(length as u16).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_short_as_they_can() {
        for (length, head) in
            [(1, &[0x82, 1][..]), (125, &[0x82, 125]), (126, &[0x82, 126, 0, 126]), (65_535, &[0x82, 126, 255, 255])]
        {
            let mut out = Vec::new();
            binary(&mut out, &vec![7; length]);
            assert_eq!(out.len(), head.len() + length);
            assert_eq!(&out[..head.len()], head);
        }
    }

    #[test]
    fn the_message_about_dropped_packets_is_text() {
        let mut out = Vec::new();
        dropped(&mut out, 3, 12);
        assert_eq!(out[..2], [0x81, 41]);
        assert_eq!(&out[2..], br#"{"type":"dropped","packets":3,"total":12}"#);
    }
}
