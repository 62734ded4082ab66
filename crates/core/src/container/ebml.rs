//! EBML (RFC 8794): variable-size integers and element headers.

/// Bytes of the longest element header: an ID of four, a size of eight.
pub(super) const MAX_HEADER: usize = 12;

/// The start of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) id: u32,
    /// Bytes of its content; none where they are not known in advance.
    pub(super) size: Option<u64>,
    /// Bytes of the ID and the size.
    pub(super) header: usize,
}

/// What stands at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read<T> {
    Whole(T),
    /// More bytes are needed to tell.
    Part,
    /// Nothing that more bytes could mend.
    No,
}

impl Element {
    pub(super) fn read(bytes: &[u8]) -> Read<Self> {
        let (id, length) = match integer(bytes, 4) {
            Read::Whole((id, length)) => (id, length),
            Read::Part => return Read::Part,
            Read::No => return Read::No,
        };
        // IDs keep their length marker.
        let id = (id | 1 << (7 * length)) as u32;
        match integer(&bytes[length..], 8) {
            Read::Whole((size, more)) => {
                let known = size != unknown(more);
                Read::Whole(Self { id, size: known.then_some(size), header: length + more })
            }
            Read::Part => Read::Part,
            Read::No => Read::No,
        }
    }
}

/// The value of all ones that stands for an unknown size, in `length` bytes.
fn unknown(length: usize) -> u64 {
    (1 << (7 * length)) - 1
}

/// A variable-size integer of at most `most` bytes: its value and its length.
pub(super) fn integer(bytes: &[u8], most: usize) -> Read<(u64, usize)> {
    let Some(&first) = bytes.first() else { return Read::Part };
    let length = first.leading_zeros() as usize + 1;
    if length > most {
        return Read::No;
    }
    let Some(bytes) = bytes.get(..length) else { return Read::Part };
    let raw = bytes.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    Read::Whole((raw & unknown(length), length))
}

/// A signed one, as in EBML lacing: the unsigned value less half its range.
pub(super) fn signed(bytes: &[u8]) -> Option<(i64, usize)> {
    match integer(bytes, 8) {
        Read::Whole((value, length)) => Some((value as i64 - (unknown(length) >> 1) as i64, length)),
        _ => None,
    }
}

/// The content of an unsigned-integer element, up to eight bytes.
pub(super) fn unsigned(content: &[u8]) -> Option<u64> {
    (content.len() <= 8).then(|| content.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// The content of a signed-integer element.
pub(super) fn signed_content(content: &[u8]) -> Option<i64> {
    let value = unsigned(content)?;
    let unused = 64 - 8 * content.len() as u32;
    Some(if unused == 64 { 0 } else { (value << unused) as i64 >> unused })
}

/// The content of a float element.
pub(super) fn float(content: &[u8]) -> Option<f64> {
    match *content {
        [] => Some(0.0),
        [a, b, c, d] => Some(f32::from_be_bytes([a, b, c, d]).into()),
        [a, b, c, d, e, f, g, h] => Some(f64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}

/// The children of an element whose content lies in one piece. Ends before the first that does not fit.
pub(super) struct Children<'a> {
    content: &'a [u8],
    at: usize,
}

/// One child: its ID, its content and where in the parent's content that begins.
pub(super) struct Child<'a> {
    pub(super) id: u32,
    pub(super) content: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Children<'a> {
    pub(super) fn of(content: &'a [u8]) -> Self {
        Self { content, at: 0 }
    }

    /// Whether all of the content was children.
    pub(super) fn exhausted(&self) -> bool {
        self.at == self.content.len()
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = Child<'a>;

    fn next(&mut self) -> Option<Child<'a>> {
        let rest = self.content.get(self.at..)?;
        let Read::Whole(Element { id, size: Some(size), header }) = Element::read(rest) else { return None };
        let content = rest[header..].get(..usize::try_from(size).ok()?)?;
        let at = self.at + header;
        self.at = at + content.len();
        Some(Child { id, content, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_length_are_read() {
        assert_eq!(integer(&[0x81], 8), Read::Whole((1, 1)));
        assert_eq!(integer(&[0x40, 0x02], 8), Read::Whole((2, 2)));
        assert_eq!(integer(&[0x01, 0, 0, 0, 0, 0, 1, 0], 8), Read::Whole((256, 8)));
        assert_eq!(integer(&[0x40], 8), Read::Part);
        assert_eq!(integer(&[0x00, 0xFF], 8), Read::No);
        assert_eq!(integer(&[0x08, 0, 0, 0, 0], 4), Read::No);
    }

    #[test]
    fn signed_integers_are_centred() {
        assert_eq!(signed(&[0xBF]), Some((0, 1)));
        assert_eq!(signed(&[0x80]), Some((-63, 1)));
        assert_eq!(signed(&[0x5F, 0xFF]), Some((0, 2)));
        assert_eq!(signed_content(&[0xFF, 0x38]), Some(-200));
        assert_eq!(signed_content(&[]), Some(0));
    }

    #[test]
    fn elements_keep_the_marker_of_their_id_and_may_have_no_size() {
        let cluster = Element { id: 0x1F43_B675, size: None, header: 12 };
        let bytes = [0x1F, 0x43, 0xB6, 0x75, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(Element::read(&bytes), Read::Whole(cluster));
        for length in 0..bytes.len() {
            assert_eq!(Element::read(&bytes[..length]), Read::Part);
        }
        assert_eq!(Element::read(&[0xA3, 0xFF]), Read::Whole(Element { id: 0xA3, size: None, header: 2 }));
    }
}
