use super::MAX_UNREAD;
use crate::{Error, Result};

/// Bytes that were pushed and not yet consumed, and where in the stream they lie.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    start: usize,
    at: u64,
    /// Whether nothing more will come.
    pub(super) ended: bool,
}

impl Input {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.ended {
            return Err(Error::unsupported("bytes after finish: a new stream needs a new demuxer"));
        }
        let unread = self.bytes.len() - self.start;
        if unread.saturating_add(bytes.len()) > MAX_UNREAD {
            return Err(Error::TooLarge(format!(
                "byte {}: {} bytes are pushed on {unread} that were not read; take the events in between, and push at \
                 most {MAX_UNREAD} at once",
                self.at + unread as u64,
                bytes.len(),
            )));
        }
        // Moving the rest to the front is paid for by at least as many bytes consumed before it.
        if self.start >= unread {
            self.bytes.copy_within(self.start.., 0);
            self.bytes.truncate(unread);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// What is there.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Bytes of the stream before [`Self::rest`].
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.bytes.len() - self.start);
        self.start += count;
        self.at += count as u64;
    }
}

/// The common name of what begins with these bytes, if they are the signature of something that is often mistaken
/// for `not`.
pub(super) fn foreign(bytes: &[u8], not: &str) -> Option<&'static str> {
    let signatures: [(usize, &[u8], &str); 7] = [
        (0, b"OggS", "Ogg"),
        (0, b"\x1A\x45\xDF\xA3", "WebM"),
        (0, b"RIFF", "a WAV file"),
        (0, b"fLaC", "FLAC"),
        (0, b"ID3", "MP3"),
        (4, b"ftyp", "MP4"),
        (0, b"OpusHead", "a bare Opus header"),
    ];
    signatures
        .into_iter()
        .find(|(offset, magic, name)| *name != not && bytes.get(*offset..).is_some_and(|rest| rest.starts_with(magic)))
        .map(|(_, _, name)| name)
}
