use std::collections::VecDeque;
use std::ops::Range;

use super::block::{BlockHead, Group, MAX_HEAD};
use super::id;
use super::landmark::{self, MAX_EBML, Witnesses};
use super::tracks::{self, Track};
use crate::container::ebml::{Children, Element, Read, unsigned};
use crate::container::event::{Ready, Step};
use crate::container::input::{Input, foreign};
use crate::container::timeline::{FARTHEST, Timeline};
use crate::container::{CLOCK, Event, Header, MAX_PACKET, OpusHead, Packet, toc};
use crate::{Error, Result};

/// Bytes that are searched for the next cluster or header before giving up: some seconds of video.
const MAX_SEARCH: u64 = 32 << 20;
/// Largest element that has to lie in memory as a whole, by its kind.
const MAX_INFO: u64 = 64 << 10;
const MAX_TRACKS: u64 = 1 << 20;
const MAX_BLOCK: u64 = 256 << 10;
/// Largest element that is passed over without being kept; what claims to be larger is damage.
const MAX_SKIP: u64 = 64 << 20;
const MILLISECOND: u64 = 1_000_000;

/// Demuxer of WebM and Matroska: bytes in any pieces become Opus packets.
///
/// Made for what browsers' MediaRecorder sends live: segments and clusters of unknown size, streams joined in the
/// middle (the next cluster is awaited), cut off within a cluster, and begun anew with another header, after which the
/// timeline goes on. Of several tracks the first audio track that is Opus is taken.
///
/// Driven like [`OggDemuxer`](crate::container::ogg::OggDemuxer). Block times have the resolution of the file's
/// timestamp scale, usually a millisecond; a packet that is no further than that from the end of the one before is
/// taken to follow it without a gap.
#[derive(Debug, Default)]
pub struct WebmDemuxer {
    input: Input,
    given: Option<OpusHead>,
    level: Level,
    /// Ends of the segment and the cluster that are open, where known.
    segment_end: Option<u64>,
    cluster_end: Option<u64>,
    /// Bytes to pass over.
    skip: u64,
    /// Start of what is being searched, and why.
    lost: Option<(u64, &'static str)>,
    /// Nanoseconds of a tick; 0 while unknown.
    scale: u64,
    cluster_time: u64,
    track: Option<Track>,
    /// What the blocks of a stream without a list of tracks have shown so far.
    witnesses: Witnesses,
    pre_skip: u32,
    events: VecDeque<Ready<Range<usize>>>,
    /// Bytes of the element that `events` lie in.
    unit: usize,
    frames: Vec<Range<usize>>,
    timeline: Timeline,
    failed: Option<Error>,
    over: bool,
}

/// Which element is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Level {
    #[default]
    Top,
    Segment,
    Cluster,
}

type Next = Step<Range<usize>>;

impl WebmDemuxer {
    /// A demuxer for a stream from its beginning, or joined anywhere with nothing known of it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A demuxer for a stream that is joined after its header, which is known from elsewhere. A header in the stream
    /// itself still counts for what follows it.
    pub fn with_header(head: OpusHead) -> Self {
        Self { given: Some(head), ..Self::default() }
    }

    /// Append the next bytes of the stream, any number of them.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where more than [`MAX_UNREAD`](crate::container::MAX_UNREAD) bytes would lie unread,
    /// [`Error::Unsupported`] after [`Self::finish`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.input.push(bytes)
    }

    /// No more bytes will come.
    pub fn finish(&mut self) {
        self.input.ended = true;
    }

    /// The next event, or none until more bytes come.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the stream is not WebM or carries no Opus; from then on every call gives it again.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>> {
        loop {
            match self.step() {
                Step::Again => {}
                Step::Wait => return self.failed.clone().map_or(Ok(None), Err),
                Step::End => return Ok(Some(Event::End { at: self.input.at() })),
                Step::Emit(Ready::Header(header)) => return Ok(Some(Event::Header(header))),
                Step::Emit(Ready::Gap(gap)) => return Ok(Some(Event::Gap(gap))),
                Step::Emit(Ready::Packet { place, packet }) => {
                    return Ok(Some(Event::Packet(Packet { data: &self.input.rest()[place], ..packet })));
                }
            }
        }
    }

    fn step(&mut self) -> Next {
        if let Some(ready) = self.events.pop_front() {
            return Step::Emit(ready);
        }
        self.input.consume(std::mem::take(&mut self.unit));
        if self.failed.is_some() || self.over {
            return Step::Wait;
        }
        if self.skip > 0 {
            let count = self.input.rest().len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.input.consume(count);
            self.skip -= count as u64;
        }
        if self.input.rest().is_empty() && self.lost.is_none() {
            return if self.input.ended { self.end() } else { Step::Wait };
        }
        if self.input.at() == 0 && self.lost.is_none() {
            if self.input.rest().len() < 8 && !self.input.ended {
                return Step::Wait;
            }
            if let Some(name) = foreign(self.input.rest(), "WebM") {
                return self.fail(0, format!("the stream begins like {name}, not like WebM"));
            }
        }
        if self.lost.is_some() { self.search() } else { self.element() }
    }

    fn end(&mut self) -> Next {
        self.over = true;
        Step::End
    }

    fn fail(&mut self, at: u64, what: impl Into<String>) -> Next {
        self.failed = Some(Error::malformed(at, what));
        Step::Wait
    }

    /// What begins here can't be trusted.
    fn lose(&mut self, reason: &'static str) -> Next {
        self.lost = Some((self.input.at(), reason));
        self.input.consume(1);
        Step::Again
    }

    /// Look for the next cluster, header or list of tracks.
    fn search(&mut self) -> Next {
        let Some((start, reason)) = self.lost else { return Step::Again };
        let rest = self.input.rest();
        let next = rest.iter().position(|byte| matches!(byte, 0x1A | 0x1F | 0x16)).unwrap_or(rest.len());
        let passed = self.input.at() + next as u64 - start;
        if passed > MAX_SEARCH {
            return self.fail(start, format!("no WebM cluster in {MAX_SEARCH} bytes"));
        }
        let found = landmark::find(&rest[next..]);
        let ended = self.input.ended;
        self.input.consume(next);
        match found {
            Read::Part if !ended => return Step::Wait,
            Read::Part | Read::No if !self.input.rest().is_empty() => {
                self.input.consume(1);
                return Step::Again;
            }
            _ => {}
        }
        self.lost = None;
        (self.level, self.segment_end, self.cluster_end) = (Level::Segment, None, None);
        Step::Emit(Ready::gap(start, self.input.at() - start, reason))
    }

    /// Read the element that begins here.
    fn element(&mut self) -> Next {
        let at = self.input.at();
        if self.level == Level::Cluster && self.cluster_end.is_some_and(|end| at >= end) {
            self.level = Level::Segment;
        }
        if self.level == Level::Segment && self.segment_end.is_some_and(|end| at >= end) {
            self.level = Level::Top;
        }
        let element = match Element::read(self.input.rest()) {
            Read::Whole(element) => element,
            Read::Part if self.input.ended => return self.lose("the stream ends within an element"),
            Read::Part => return Step::Wait,
            Read::No => return self.lose("what should be an element is none"),
        };
        match (self.level, element.id) {
            (_, id::EBML) => self.begin(element),
            (_, id::SEGMENT) => self.open(Level::Segment, element),
            (_, id::CLUSTER) => self.open(Level::Cluster, element),
            (Level::Top, _) => self.lose("no WebM header"),
            (_, id::INFO) => self.whole(element, MAX_INFO, Self::info),
            (_, id::TRACKS) => self.whole(element, MAX_TRACKS, Self::tracks),
            (_, id::SEEK_HEAD | id::CUES | id::ATTACHMENTS | id::CHAPTERS | id::TAGS) => {
                self.level = Level::Segment;
                self.pass(element)
            }
            (_, id::VOID | id::CRC) => self.pass(element),
            (Level::Cluster, id::TIMESTAMP) => self.whole(element, 8, Self::timestamp),
            (Level::Cluster, id::SIMPLE_BLOCK) => self.simple_block(element),
            (Level::Cluster, id::BLOCK_GROUP) => self.whole(element, MAX_BLOCK, Self::block_group),
            (Level::Cluster, id::POSITION | id::PREV_SIZE | id::SILENT_TRACKS | id::ENCRYPTED_BLOCK) => {
                self.pass(element)
            }
            // To believe the size of what is not known could mean to pass over all that follows.
            _ => self.lose("an element that does not belong here"),
        }
    }

    /// The end of what is open, where known.
    fn bound(&self) -> Option<u64> {
        match self.level {
            Level::Top => None,
            Level::Segment => self.segment_end,
            Level::Cluster => self.cluster_end.or(self.segment_end),
        }
    }

    /// The size of an element that must have one, lie within its parent and be no larger than `most`.
    fn size(&self, element: Element, most: u64) -> Option<u64> {
        let size = element.size.filter(|&size| size <= most)?;
        let end = self.input.at() + element.header as u64 + size;
        self.bound().is_none_or(|bound| end <= bound).then_some(size)
    }

    fn pass(&mut self, element: Element) -> Next {
        let Some(size) = self.size(element, MAX_SKIP) else { return self.lose("an element of an impossible size") };
        self.input.consume(element.header);
        self.skip = size;
        Step::Again
    }

    fn open(&mut self, level: Level, element: Element) -> Next {
        let end = element.size.map(|size| self.input.at() + element.header as u64 + size);
        match level {
            Level::Cluster => {
                // A cluster that would not fit is believed for what it holds, not for its size.
                self.cluster_end = end.filter(|&end| self.segment_end.is_none_or(|bound| end <= bound));
            }
            _ => (self.segment_end, self.cluster_end) = (end, None),
        }
        self.level = level;
        self.input.consume(element.header);
        Step::Again
    }

    /// An element that is read once all of it is there.
    fn whole(&mut self, element: Element, most: u64, read: fn(&mut Self, Range<usize>) -> Next) -> Next {
        let Some(size) = self.size(element, most) else {
            return self.lose("an element of an impossible size");
        };
        let content = element.header..element.header + size as usize;
        if self.input.rest().len() < content.end {
            return if self.input.ended { self.lose("the stream ends within an element") } else { Step::Wait };
        }
        self.unit = content.end;
        read(self, content)
    }

    /// A header: the stream begins, or begins anew.
    fn begin(&mut self, element: Element) -> Next {
        (self.level, self.segment_end, self.cluster_end) = (Level::Top, None, None);
        self.whole(element, MAX_EBML, |demuxer, content| {
            let (at, content) = (demuxer.input.at(), &demuxer.input.rest()[content]);
            let kind = Children::of(content)
                .find(|child| child.id == id::DOC_TYPE)
                .map_or(&b"matroska"[..], |child| child.content);
            let kind = kind.split(|&byte| byte == 0).next().unwrap_or_default();
            if kind != b"webm" && kind != b"matroska" {
                let what = format!("a document of type {:?}, not webm", kind.escape_ascii().to_string());
                return demuxer.fail(at, what);
            }
            (demuxer.scale, demuxer.cluster_time) = (0, 0);
            demuxer.timeline.restart();
            Step::Again
        })
    }

    fn info(&mut self, content: Range<usize>) -> Next {
        self.level = Level::Segment;
        let info = Children::of(&self.input.rest()[content]).find(|child| child.id == id::TIMESTAMP_SCALE);
        // An hour a tick is more than any file has.
        let scale = info.and_then(|scale| unsigned(scale.content)).filter(|&scale| scale <= 3_600_000 * MILLISECOND);
        self.scale = scale.unwrap_or_default();
        Step::Again
    }

    fn tracks(&mut self, content: Range<usize>) -> Next {
        self.level = Level::Segment;
        let at = self.input.at() + content.start as u64;
        match tracks::choose(&self.input.rest()[content], at) {
            Ok(track) => {
                self.pre_skip = track.head.pre_skip.into();
                self.announce(track, false)
            }
            Err(error) => {
                self.failed = Some(error);
                Step::Wait
            }
        }
    }

    fn announce(&mut self, track: Track, assumed: bool) -> Next {
        let header = Header { head: track.head.clone(), tags: None, assumed, at: track.at };
        self.track = Some(track);
        self.events.push_back(Ready::Header(Box::new(header)));
        Step::Again
    }

    fn timestamp(&mut self, content: Range<usize>) -> Next {
        self.cluster_time = unsigned(&self.input.rest()[content]).unwrap_or_default();
        Step::Again
    }

    fn simple_block(&mut self, element: Element) -> Next {
        // No more than the block's own bytes, or what is read would depend on how many have come.
        let most = usize::try_from(element.size.unwrap_or_default()).unwrap_or(MAX_HEAD).min(MAX_HEAD);
        let block = &self.input.rest()[element.header..];
        let Some(head) = BlockHead::read(&block[..block.len().min(most)]) else {
            return if block.len() >= most || self.input.ended {
                self.lose("a block without a head")
            } else {
                Step::Wait
            };
        };
        match &self.track {
            Some(track) if !track.knows(head.track) => self.lose("a block of an unknown track"),
            Some(track) if track.number != head.track => self.pass(element),
            None if element.size.is_some_and(|size| size > MAX_PACKET as u64) => self.pass(element),
            _ => self.whole(element, MAX_BLOCK, |demuxer, content| demuxer.block(content, 0)),
        }
    }

    fn block_group(&mut self, content: Range<usize>) -> Next {
        match Group::read(&self.input.rest()[content.clone()]) {
            Some(Group { block, discard }) => {
                self.block(content.start + block.start..content.start + block.end, discard)
            }
            None => {
                self.unit = 0;
                self.lose("a group without a block")
            }
        }
    }

    /// The packets of a block that lies at `block`; `discard` nanoseconds of them are padding.
    fn block(&mut self, block: Range<usize>, discard: i64) -> Next {
        let (at, bytes) = (self.input.at(), &self.input.rest()[block.clone()]);
        // A recorder that was cut off within a block and begun anew: its header lies where the block's rest should be.
        if let Some(header) = (0..bytes.len()).find(|&from| bytes[from] == 0x1A && landmark::restart(&bytes[from..])) {
            self.unit = block.start + header;
            return Step::Emit(Ready::gap(at, self.unit as u64, "a block is cut off by a new header"));
        }
        let Some(head) = BlockHead::read(bytes) else {
            self.unit = 0;
            return self.lose("a block without a head");
        };
        let mut frames = std::mem::take(&mut self.frames);
        match head.frames(bytes, &mut frames) {
            Ok(()) => self.packets(block.start, &head, &frames, discard),
            Err(reason) if self.track.as_ref().is_some_and(|track| track.number == head.track) => {
                self.events.push_back(Ready::gap(at, self.unit as u64, reason));
            }
            Err(_) => {}
        }
        self.frames = frames;
        Step::Again
    }

    fn packets(&mut self, start: usize, head: &BlockHead, frames: &[Range<usize>], discard: i64) {
        let scale = if self.scale == 0 { MILLISECOND } else { self.scale };
        let time = samples((i128::from(self.cluster_time) + i128::from(head.time)) * i128::from(scale));
        let Some(time) = time else {
            self.events.push_back(Ready::gap(self.input.at(), self.unit as u64, "a timestamp beyond all measure"));
            return;
        };
        if self.track.is_none() {
            self.join(start, head, frames, time);
        }
        let Some(track) = self.track.as_ref().filter(|track| track.number == head.track) else { return };
        let tick = samples(scale.into()).unwrap_or_default().max(1);
        let mut time = time - track.delay;
        let discard = samples(discard.into()).unwrap_or_default();
        let (mut before, after) = ((-discard).max(0), discard.max(0));
        let (rest, at) = (self.input.rest(), self.input.at());
        let frames = || frames.iter().map(|frame| start + frame.start..start + frame.end);
        // Padding at the end may be longer than the last frame: how much of it each frame bears is told from the back.
        let mut left: i64 = frames().filter_map(|place| toc::duration(&rest[place]).ok()).map(i64::from).sum();
        for place in frames() {
            let at = at + place.start as u64;
            let duration = match toc::duration(&rest[place.clone()]) {
                Ok(duration) if place.len() <= MAX_PACKET => duration,
                fault => {
                    let reason = fault.err().map_or("a packet of more than 61440 bytes", |(_, reason)| reason);
                    self.events.push_back(Ready::gap(at, place.len() as u64, reason));
                    continue;
                }
            };
            left -= i64::from(duration);
            let end = (after - left).clamp(0, duration.into()) as u32;
            let begin = i64::from(self.pre_skip).max(before).clamp(0, (duration - end).into()) as u32;
            self.pre_skip = self.pre_skip.saturating_sub(duration);
            before -= i64::from(duration);
            let timestamp = self.timeline.place(time, duration, (begin, end), tick);
            time += i64::from(duration);
            let packet = Packet {
                data: &[],
                timestamp,
                duration,
                discard_start: begin,
                discard_end: end,
                track: head.track,
                at,
            };
            self.events.push_back(Ready::Packet { place, packet });
        }
    }

    /// Choose the track of a stream whose list of tracks was not seen, if the block shows it to be Opus.
    fn join(&mut self, start: usize, head: &BlockHead, frames: &[Range<usize>], time: i64) {
        let rest = self.input.rest();
        let packets = || frames.iter().map(|frame| &rest[start + frame.start..start + frame.end]);
        if !self.witnesses.opus(head, packets(), time, self.given.as_ref()) {
            return;
        }
        let first = packets().next().unwrap_or_default();
        let assumed = self.given.clone().unwrap_or_else(|| OpusHead::assumed(first));
        // Tracks are numbered from one in all that is seen live.
        let all = (1..=8).collect();
        self.announce(Track { number: head.track, head: assumed, at: self.input.at(), delay: 0, all }, true);
    }
}

/// Samples in so many nanoseconds, to the nearest, where they are within all measure.
fn samples(nanoseconds: i128) -> Option<i64> {
    let samples = (nanoseconds * i128::from(CLOCK) + 500_000_000).div_euclid(1_000_000_000);
    i64::try_from(samples).ok().filter(|samples| samples.abs() <= FARTHEST)
}
