use crate::{Error, Result};

/// The comment header of an Ogg Opus stream (RFC 7845 §5.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Library that encoded it.
    pub vendor: String,
    /// Each `NAME=value`.
    pub comments: Vec<String>,
}

const MAGIC: &[u8] = b"OpusTags";

impl Tags {
    /// Whether a packet is a comment header.
    pub(super) fn recognise(packet: &[u8]) -> bool {
        packet.starts_with(MAGIC)
    }

    /// Read as many comments as the packet holds: comments are decoration, and a fault in them is no reason to lose
    /// the audio. What is not UTF-8 is replaced.
    pub fn parse(packet: &[u8]) -> Self {
        let mut rest = packet.strip_prefix(MAGIC).unwrap_or_default();
        let Some(vendor) = take(&mut rest) else { return Self::default() };
        let Some((count, mut rest)) = rest.split_first_chunk::<4>() else { return Self { vendor, ..Self::default() } };
        let comments = (0..u32::from_le_bytes(*count)).map_while(|_| take(&mut rest)).collect();
        Self { vendor, comments }
    }

    /// The bytes of the header.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where a comment has no name before an equals sign, and [`Error::TooLarge`] where all are
    /// larger than a packet may be.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        put(&mut bytes, &self.vendor);
        bytes.extend((self.comments.len() as u32).to_le_bytes());
        for comment in &self.comments {
            let name = comment.split_once('=').map_or("", |(name, _)| name);
            if name.is_empty() || !name.bytes().all(|byte| (0x20..=0x7D).contains(&byte)) {
                return Err(Error::unsupported(format!("the comment {comment:?}; it should be NAME=value, in ASCII")));
            }
            put(&mut bytes, comment);
        }
        if bytes.len() > super::MAX_PACKET {
            return Err(Error::TooLarge(format!(
                "comments of {} bytes; {} are allowed",
                bytes.len(),
                super::MAX_PACKET
            )));
        }
        Ok(bytes)
    }
}

fn take(rest: &mut &[u8]) -> Option<String> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_read_as_they_were_written() {
        let tags = Tags { vendor: "a library".into(), comments: vec!["TITLE=ä=b".into(), "X=".into()] };
        assert_eq!(Tags::parse(&tags.to_bytes().unwrap()), tags);
    }

    #[test]
    fn what_is_cut_off_leaves_the_comments_before_it() {
        let tags = Tags { vendor: "a library".into(), comments: vec!["TITLE=a".into(), "ARTIST=b".into()] };
        let bytes = tags.to_bytes().unwrap();
        assert_eq!(Tags::parse(&bytes[..bytes.len() - 1]).comments, ["TITLE=a"]);
        assert_eq!(Tags::parse(&bytes[..10]), Tags::default());
    }

    #[test]
    fn a_comment_without_a_name_is_refused() {
        for comment in ["", "title", "=a", "ä=a"] {
            let tags = Tags { vendor: String::new(), comments: vec![comment.into()] };
            assert!(matches!(tags.to_bytes(), Err(Error::Unsupported(_))), "{comment}");
        }
    }
}
