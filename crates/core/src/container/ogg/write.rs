use super::page::{self, BEGIN, END};
use crate::container::toc::{duration, frame_duration};
use crate::container::{CLOCK, MAX_PACKET, OpusHead, Tags};
use crate::{Error, Result};

/// Segments that a page holds at most.
const MAX_SEGMENTS: usize = 255;

/// When a page is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFlush {
    /// A page for each packet, for players that listen live: 28 bytes more a packet.
    EachPacket,
    /// When the page holds so many samples of 48 kHz, or is full. RFC 7845 §4 asks for no more than a second.
    Samples(u32),
}

impl Default for PageFlush {
    fn default() -> Self {
        Self::Samples(CLOCK)
    }
}

/// Writer of Ogg Opus: packets in, pages out.
///
/// The last packet is kept back until the next one or [`finish`](Self::finish), since the page that ends the stream has
/// to hold it; [`flush`](Self::flush) gives it out at once.
///
/// ```
/// use antiphon_core::container::{OpusHead, Tags, ogg::{OggWriter, PageFlush}};
///
/// # fn main() -> antiphon_core::Result<()> {
/// let head = OpusHead::new(1, 312, 48_000)?;
/// let mut writer = OggWriter::new(head, &Tags::default(), 1, PageFlush::default())?;
/// let mut file = Vec::new();
/// writer.write(&[0x78, 1, 2, 3], &mut file)?; // 20 ms
/// writer.finish(0, &mut file)?;
/// # assert!(file.starts_with(b"OggS"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OggWriter {
    serial: u32,
    limit: u32,
    sequence: u32,
    pre_skip: i64,
    /// The two headers, until they are written.
    headers: Vec<u8>,
    /// Samples of all packets so far.
    granule: i64,
    /// Granule position at the end of the last packet that ends on the page; −1 while none does.
    page_granule: i64,
    page_samples: u32,
    lacing: Vec<u8>,
    body: Vec<u8>,
    toc: Option<u8>,
    finished: bool,
}

impl OggWriter {
    /// A writer of one stream.
    ///
    /// `serial` tells it from others in the same file: any number will do, best a random one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for comments that are not `NAME=value` or pages of no length, [`Error::TooLarge`] for
    /// comments larger than a packet may be.
    pub fn new(head: OpusHead, tags: &Tags, serial: u32, flush: PageFlush) -> Result<Self> {
        let limit = match flush {
            PageFlush::EachPacket => 1,
            PageFlush::Samples(0) => return Err(Error::unsupported("pages of 0 samples; 1 and more are possible")),
            PageFlush::Samples(samples) => samples,
        };
        let mut writer = Self {
            serial,
            limit,
            sequence: 0,
            pre_skip: head.pre_skip.into(),
            headers: Vec::new(),
            granule: 0,
            page_granule: -1,
            page_samples: 0,
            lacing: Vec::with_capacity(MAX_SEGMENTS),
            body: Vec::new(),
            toc: None,
            finished: false,
        };
        let mut headers = Vec::new();
        writer.put(&head.to_bytes(), 0);
        writer.page(BEGIN, &mut headers);
        writer.put(&tags.to_bytes()?, 0);
        writer.page(0, &mut headers);
        writer.headers = headers;
        Ok(writer)
    }

    /// Samples of 48 kHz that a player will play of what was written so far.
    pub fn samples(&self) -> u64 {
        (self.granule - self.pre_skip).max(0).unsigned_abs()
    }

    /// Write a packet; pages that are ready are appended to `out`, the first time with the headers before them.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the packet has no duration, [`Error::TooLarge`] where it is larger than
    /// [`MAX_PACKET`], [`Error::Unsupported`] after [`Self::finish`]. Nothing is written then.
    pub fn write(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.begin(out)?;
        let samples = duration(packet).map_err(|(at, what)| Error::malformed(at, what))?;
        if packet.len() > MAX_PACKET {
            return Err(Error::TooLarge(format!("a packet of {} bytes; {MAX_PACKET} are allowed", packet.len())));
        }
        let full = self.lacing.len() + packet.len() / 255 + 1 > MAX_SEGMENTS;
        if !self.lacing.is_empty() && (full || self.page_samples >= self.limit) {
            self.page(0, out);
        }
        self.granule += i64::from(samples);
        self.page_samples = self.page_samples.saturating_add(samples);
        self.toc = packet.first().copied();
        self.put(packet, self.granule);
        Ok(())
    }

    /// Write packets without frames in place of audio that was lost, so that what follows keeps its time (RFC 7845
    /// §4.1): a decoder conceals them.
    ///
    /// `samples` of 48 kHz are rounded down to whole frames, of the size of the last packet's.
    ///
    /// Returns the samples that were written.
    ///
    /// # Errors
    /// [`Error::Unsupported`] before the first packet, or after [`Self::finish`].
    pub fn write_gap(&mut self, samples: u64, out: &mut Vec<u8>) -> Result<u64> {
        let Some(toc) = self.toc else { return Err(Error::unsupported("a gap before the first packet")) };
        let frame = u64::from(frame_duration(toc));
        for _ in 0..samples / frame {
            self.write(&[toc & !3], out)?;
        }
        Ok(samples / frame * frame)
    }

    /// Append to `out` what was kept back. The stream will then end with an empty page, and can't be trimmed unless
    /// more packets follow.
    ///
    /// # Errors
    /// [`Error::Unsupported`] after [`Self::finish`].
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.begin(out)?;
        if !self.lacing.is_empty() {
            self.page(0, out);
        }
        Ok(())
    }

    /// End the stream and append its last page to `out`.
    ///
    /// `discard` samples of 48 kHz are trimmed from the end; they must lie in what is kept back for the last page.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for more of them than that, or where the stream has ended already.
    pub fn finish(&mut self, discard: u32, out: &mut Vec<u8>) -> Result<()> {
        if discard > self.page_samples {
            return Err(Error::unsupported(format!(
                "{discard} samples to trim from the end; the last page holds {}",
                self.page_samples
            )));
        }
        self.begin(out)?;
        // A page on which no packet ends has no granule position (RFC 3533 §6).
        if !self.lacing.is_empty() {
            self.page_granule = self.granule - i64::from(discard);
        }
        self.page(END, out);
        self.finished = true;
        Ok(())
    }

    fn begin(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.finished {
            return Err(Error::unsupported("packets after finish: a new stream needs a new writer"));
        }
        out.append(&mut self.headers);
        Ok(())
    }

    /// Put a packet on the page, which has room for it.
    fn put(&mut self, packet: &[u8], granule: i64) {
        self.lacing.extend(std::iter::repeat_n(255, packet.len() / 255));
        self.lacing.push((packet.len() % 255) as u8);
        self.body.extend_from_slice(packet);
        self.page_granule = granule;
    }

    fn page(&mut self, flags: u8, out: &mut Vec<u8>) {
        page::write(out, flags, self.page_granule, self.serial, self.sequence, &self.lacing, &self.body);
        self.sequence = self.sequence.wrapping_add(1);
        self.lacing.clear();
        self.body.clear();
        (self.page_granule, self.page_samples) = (-1, 0);
    }
}

const _: () = assert!(MAX_PACKET / 255 < MAX_SEGMENTS, "every packet has to fit on an empty page");
