//! What the `Tracks` element says of the track that is taken.

use super::id;
use crate::container::ebml::{Children, float, unsigned};
use crate::container::{CLOCK, OpusHead};
use crate::{Error, Result};

/// The track whose packets are given out.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) number: u64,
    pub(super) head: OpusHead,
    /// Byte of the stream at which the head lies.
    pub(super) at: u64,
    /// Samples that every block's time is to be lessened by.
    pub(super) delay: i64,
    /// Numbers of all tracks, as far as they are known.
    pub(super) all: Vec<u64>,
}

impl Track {
    /// Whether a block of this track number can be part of the stream.
    pub(super) fn knows(&self, number: u64) -> bool {
        number == self.number || self.all.contains(&number)
    }
}

const AUDIO: u64 = 2;
/// Tracks that an error names.
const MAX_NAMED: usize = 8;
/// Tracks that are remembered.
const MAX_TRACKS: usize = 64;

#[derive(Default)]
struct Entry<'a> {
    number: u64,
    kind: u64,
    codec: &'a [u8],
    private: Option<(usize, &'a [u8])>,
    delay: u64,
    rate: f64,
    channels: u64,
    encoded: bool,
}

/// The first audio track that is Opus. `at` is where `content` lies in the stream.
///
/// # Errors
/// [`Error::Malformed`], which names what the tracks are where none is Opus.
pub(super) fn choose(content: &[u8], at: u64) -> Result<Track> {
    let entries = || {
        let tracks = Children::of(content).filter(|child| child.id == id::TRACK_ENTRY);
        tracks.map(|child| (at + child.at as u64, Entry::parse(child.content)))
    };
    if let Some((start, entry)) = entries().find(|(_, entry)| entry.kind == AUDIO && entry.codec == b"A_OPUS") {
        let all = entries().map(|(_, other)| other.number).take(MAX_TRACKS).collect();
        return entry.track(start, all);
    }
    let name = |codec: &[u8]| String::from_utf8_lossy(&codec[..codec.len().min(40)]).into_owned();
    let names: Vec<_> = entries().take(MAX_NAMED).map(|(_, entry)| name(entry.codec)).collect();
    let carried = if names.is_empty() { "no track".into() } else { names.join(", ") };
    Err(Error::malformed(at, format!("the stream carries {carried}; an audio track of A_OPUS is needed")))
}

impl<'a> Entry<'a> {
    fn parse(content: &'a [u8]) -> Self {
        let mut entry = Self { rate: 8_000.0, channels: 1, ..Self::default() };
        for child in Children::of(content) {
            let integer = unsigned(child.content).unwrap_or_default();
            match child.id {
                id::TRACK_NUMBER => entry.number = integer,
                id::TRACK_TYPE => entry.kind = integer,
                id::CODEC_ID => entry.codec = child.content.trim_ascii_end(),
                id::CODEC_PRIVATE => entry.private = Some((child.at, child.content)),
                id::CODEC_DELAY => entry.delay = integer,
                id::CONTENT_ENCODINGS => entry.encoded = true,
                id::AUDIO => entry.audio(child.content),
                _ => {}
            }
        }
        // Strings may be padded with zeros (RFC 8794 §7.4).
        let length = entry.codec.iter().position(|&byte| byte == 0).unwrap_or(entry.codec.len());
        entry.codec = &entry.codec[..length];
        entry
    }

    fn audio(&mut self, content: &[u8]) {
        for child in Children::of(content) {
            match child.id {
                id::SAMPLING_FREQUENCY => self.rate = float(child.content).unwrap_or(self.rate),
                id::CHANNELS => self.channels = unsigned(child.content).unwrap_or(self.channels),
                _ => {}
            }
        }
    }

    fn track(self, at: u64, all: Vec<u64>) -> Result<Track> {
        if self.encoded {
            return Err(Error::malformed(at, "the Opus track is compressed or encrypted (ContentEncodings)"));
        }
        let (head_at, head) = match self.private {
            Some((offset, private)) => {
                let at = at + offset as u64;
                let head = OpusHead::parse(private).map_err(|error| match error {
                    Error::Malformed { at: byte, what } => Error::malformed(at + byte, what),
                    other => other,
                })?;
                (at, head)
            }
            None => (at, self.head(at)?),
        };
        let delay = (u128::from(self.delay) * u128::from(CLOCK) + 500_000_000) / 1_000_000_000;
        // A second is far more than any encoder looks ahead: what is beyond is no delay.
        let delay = i64::try_from(delay).ok().filter(|&delay| delay <= i64::from(CLOCK)).unwrap_or_default();
        Ok(Track { number: self.number, head, at: head_at, delay, all })
    }

    /// A head made from the track's own entries, where it has no `CodecPrivate`.
    fn head(&self, at: u64) -> Result<OpusHead> {
        match self.channels {
            channels @ 1..=2 => OpusHead::new(channels as u8, 0, self.rate.clamp(0.0, f64::from(u32::MAX)) as u32),
            channels => Err(Error::malformed(
                at,
                format!("{channels} channels and no CodecPrivate that says how they are coded"),
            )),
        }
    }
}
