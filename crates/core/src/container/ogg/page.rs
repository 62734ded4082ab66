//! Pages (RFC 3533 §6).

use super::crc;

pub(super) const MAGIC: &[u8; 4] = b"OggS";
pub(super) const HEADER: usize = 27;
pub(super) const CONTINUED: u8 = 1;
pub(super) const BEGIN: u8 = 2;
pub(super) const END: u8 = 4;
const CHECKSUM: std::ops::Range<usize> = 22..26;

/// The header of a page whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    flags: u8,
    pub(super) granule: i64,
    pub(super) serial: u32,
    pub(super) sequence: u32,
    segments: u8,
    pub(super) length: usize,
}

/// What stands at the start of some bytes.
pub(super) enum Found {
    Page(Page),
    /// More bytes are needed to tell.
    Part,
    No(&'static str),
}

impl Page {
    /// Read the page at the start of `bytes`.
    pub(super) fn read(bytes: &[u8]) -> Found {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Found::No("no page begins where one should");
        }
        let Some(header) = bytes.first_chunk::<HEADER>() else { return Found::Part };
        let [_, _, _, _, version, flags, ..] = *header;
        if version != 0 || flags > CONTINUED | BEGIN | END {
            return Found::No("a page of an unknown version");
        }
        let segments = header[26];
        let Some(lacing) = bytes.get(HEADER..HEADER + usize::from(segments)) else { return Found::Part };
        let length = HEADER + lacing.len() + lacing.iter().map(|&lace| usize::from(lace)).sum::<usize>();
        let Some(whole) = bytes.get(..length) else { return Found::Part };
        let (head, rest) = whole.split_at(CHECKSUM.end);
        let sum = crc::update(crc::update(crc::update(0, &head[..CHECKSUM.start]), &[0; 4]), rest);
        if sum.to_le_bytes() != head[CHECKSUM] {
            return Found::No("a page with a wrong checksum");
        }
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let granule = u64::from(word(10)) << 32 | u64::from(word(6));
        Found::Page(Self { flags, granule: granule as i64, serial: word(14), sequence: word(18), segments, length })
    }

    /// Whether the page begins with the rest of a packet.
    pub(super) fn continued(&self) -> bool {
        self.flags & CONTINUED != 0
    }

    pub(super) fn begins(&self) -> bool {
        self.flags & BEGIN != 0
    }

    pub(super) fn ends(&self) -> bool {
        self.flags & END != 0
    }

    /// First byte after the header and the lacing values.
    pub(super) fn body(&self) -> usize {
        HEADER + usize::from(self.segments)
    }

    pub(super) fn lacing<'a>(&self, page: &'a [u8]) -> &'a [u8] {
        &page[HEADER..self.body()]
    }
}

/// Append a page to `out`; `body` must be as long as the lacing values say.
pub(super) fn write(
    out: &mut Vec<u8>,
    flags: u8,
    granule: i64,
    serial: u32,
    sequence: u32,
    lacing: &[u8],
    body: &[u8],
) {
    let start = out.len();
    out.extend(MAGIC);
    out.extend([0, flags]);
    out.extend(granule.to_le_bytes());
    out.extend(serial.to_le_bytes());
    out.extend(sequence.to_le_bytes());
    out.extend([0; 4]);
    out.push(lacing.len() as u8);
    out.extend(lacing);
    out.extend(body);
    let sum = crc::update(0, &out[start..]);
    out[start + CHECKSUM.start..start + CHECKSUM.end].copy_from_slice(&sum.to_le_bytes());
}
