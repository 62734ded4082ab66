use super::MAX_PAGE;
use super::page::{Found, MAGIC, Page};
use super::stream::{Events, Place, Stream};
use crate::container::event::{Ready, Step};
use crate::container::input::{Input, foreign};
use crate::container::timeline::Timeline;
use crate::container::{Event, OpusHead, Packet, plausible};
use crate::{Error, Result};

/// Bytes that are searched for the next page before giving up.
const MAX_SEARCH: u64 = 1 << 20;
/// Pages in a row of a stream that no page announced, after which the known one counts as gone.
const PATIENCE: u32 = 8;
/// Other logical streams that are remembered.
const MAX_OTHERS: usize = 64;

/// Demuxer of Ogg Opus: bytes in any pieces become packets.
///
/// Of several logical streams the first that is Opus is taken. Chained streams follow one another on one timeline. A
/// stream that is joined after its head is taken from the first page whose packets are all Opus.
///
/// ```
/// use antiphon_core::container::{Event, ogg::OggDemuxer};
///
/// fn durations(pieces: &[&[u8]]) -> antiphon_core::Result<u64> {
///     let (mut demuxer, mut samples) = (OggDemuxer::new(), 0);
///     for piece in pieces {
///         demuxer.push(piece)?;
///         while let Some(event) = demuxer.next_event()? {
///             if let Event::Packet(packet) = event {
///                 samples += u64::from(packet.duration);
///             }
///         }
///     }
///     Ok(samples)
/// }
/// # assert_eq!(durations(&[b"Og", b"gS"]), Ok(0));
/// ```
#[derive(Debug, Default)]
pub struct OggDemuxer {
    input: Input,
    given: Option<OpusHead>,
    stream: Option<Stream>,
    /// Serial numbers of streams that are not Opus.
    others: Vec<u32>,
    /// The pages that announce streams are being read.
    announcing: Option<Announced>,
    strangers: u32,
    /// Start of what is being passed over, and why.
    lost: Option<(u64, &'static str)>,
    /// Whether a gap was told of since the last page of the stream.
    reported: bool,
    events: Events,
    /// Bytes of the page that `events` lie in.
    page: usize,
    timeline: Timeline,
    failed: Option<Error>,
    over: bool,
}

/// What the first pages of all logical streams said so far.
#[derive(Debug, Default)]
struct Announced {
    opus: bool,
    other: Option<(u64, String)>,
}

impl OggDemuxer {
    /// A demuxer for a stream from its beginning, or joined anywhere with nothing known of it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A demuxer for a stream that is joined after its head, which is known from elsewhere. A head in the stream
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
    /// [`Error::Malformed`] where the stream is not Ogg or carries no Opus; from then on every call gives it again.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>> {
        loop {
            match self.step() {
                Step::Again => {}
                Step::Wait => return self.failed.clone().map_or(Ok(None), Err),
                Step::End => return Ok(Some(Event::End { at: self.input.at() })),
                Step::Emit(Ready::Header(header)) => return Ok(Some(Event::Header(header))),
                Step::Emit(Ready::Gap(gap)) => return Ok(Some(Event::Gap(gap))),
                Step::Emit(Ready::Packet { place, packet }) => {
                    let data = match (place, &self.stream) {
                        (Place::Page(range), _) => &self.input.rest()[range],
                        (Place::Assembled, Some(stream)) => &stream.assembled,
                        (Place::Assembled, None) => &[],
                    };
                    return Ok(Some(Event::Packet(Packet { data, ..packet })));
                }
            }
        }
    }

    fn step(&mut self) -> Step<Place> {
        if let Some(ready) = self.events.pop_front() {
            return Step::Emit(ready);
        }
        self.input.consume(std::mem::take(&mut self.page));
        if self.failed.is_some() || self.over {
            return Step::Wait;
        }
        if self.input.at() == 0 && self.lost.is_none() {
            if self.input.rest().len() < 8 && !self.input.ended {
                return Step::Wait;
            }
            if let Some(name) = foreign(self.input.rest(), "Ogg") {
                return self.fail(0, format!("the stream begins like {name}, not like Ogg"));
            }
        }
        if self.lost.is_some() { self.search() } else { self.read() }
    }

    fn read(&mut self) -> Step<Place> {
        if self.input.rest().is_empty() && !self.input.ended {
            return Step::Wait;
        }
        match Page::read(self.input.rest()) {
            Found::Page(page) => self.page(page),
            Found::Part if !self.input.ended => Step::Wait,
            Found::Part if self.input.rest().is_empty() => {
                self.over = true;
                Step::End
            }
            Found::Part => self.lose("the stream ends within a page"),
            Found::No(reason) => self.lose(reason),
        }
    }

    /// What begins here is not a page.
    fn lose(&mut self, reason: &'static str) -> Step<Place> {
        self.lost = Some((self.input.at(), reason));
        self.input.consume(1);
        Step::Again
    }

    /// Look for the next page.
    fn search(&mut self) -> Step<Place> {
        let Some((start, reason)) = self.lost else { return Step::Again };
        let rest = self.input.rest();
        let next = rest.iter().position(|&byte| byte == MAGIC[0]).unwrap_or(rest.len());
        let passed = self.input.at() + next as u64 - start;
        if passed > MAX_SEARCH {
            return self.fail(start, format!("no Ogg page in {MAX_SEARCH} bytes"));
        }
        let found = Page::read(&rest[next..]);
        let ended = self.input.ended;
        self.input.consume(next);
        match found {
            Found::Part if !ended => return Step::Wait,
            Found::Part | Found::No(_) if !self.input.rest().is_empty() => {
                self.input.consume(1);
                return Step::Again;
            }
            _ => {}
        }
        self.lost = None;
        self.reported = true;
        Step::Emit(Ready::gap(start, self.input.at() - start, reason))
    }

    fn fail(&mut self, at: u64, what: impl Into<String>) -> Step<Place> {
        self.failed = Some(Error::malformed(at, what));
        self.events.clear();
        Step::Wait
    }

    fn page(&mut self, page: Page) -> Step<Place> {
        self.page = page.length;
        if page.begins() {
            return self.announce(page);
        }
        if let Some(Announced { opus: false, other: Some((at, codec)) }) = self.announcing.take()
            && self.stream.as_ref().is_none_or(|stream| stream.serial != page.serial)
        {
            return self.fail(at, format!("the stream carries {codec}; only Opus can be taken"));
        }
        if !self.ours(&page) {
            return Step::Again;
        }
        let bytes = &self.input.rest()[..page.length];
        let at = self.input.at();
        if let Some(stream) = &mut self.stream {
            stream.take(&page, bytes, at, self.reported, &mut self.timeline, &mut self.events);
        }
        (self.reported, self.strangers) = (false, 0);
        Step::Again
    }

    /// A page that begins a logical stream.
    fn announce(&mut self, page: Page) -> Step<Place> {
        if self.announcing.is_none() {
            self.others.clear();
        }
        let group = self.announcing.get_or_insert_default();
        let at = self.input.at() + page.body() as u64;
        let bytes = &self.input.rest()[..page.length];
        let first = page.lacing(bytes).iter().position(|&lace| lace < 255).unwrap_or(page.lacing(bytes).len());
        let length: usize = page.lacing(bytes).iter().take(first + 1).map(|&lace| usize::from(lace)).sum();
        let packet = &bytes[page.body()..page.body() + length];
        if !packet.starts_with(b"OpusHead") || group.opus {
            if !group.opus && group.other.is_none() {
                group.other = Some((at, codec(packet)));
            }
            if self.others.len() < MAX_OTHERS {
                self.others.push(page.serial);
            }
            return Step::Again;
        }
        group.opus = true;
        match OpusHead::parse(packet) {
            Ok(head) => {
                if let Some(stream) = &mut self.stream {
                    stream.abandon(&mut self.events);
                }
                self.stream = Some(Stream::begin(&page, head, at));
                self.timeline.restart();
                (self.reported, self.strangers) = (false, 0);
                Step::Again
            }
            Err(Error::Malformed { at: byte, what }) => self.fail(at + byte, what),
            Err(other) => self.fail(at, other.to_string()),
        }
    }

    /// Whether a page belongs to the stream; a stream that no page announced is joined where that is due.
    fn ours(&mut self, page: &Page) -> bool {
        if self.stream.as_ref().is_some_and(|stream| stream.serial == page.serial) {
            return true;
        }
        if self.others.contains(&page.serial) {
            return false;
        }
        self.strangers += 1;
        if self.stream.as_ref().is_some_and(|stream| !stream.ended) && self.strangers < PATIENCE {
            return false;
        }
        let bytes = &self.input.rest()[..page.length];
        let Some(first) = joinable(page, bytes, self.given.as_ref()) else {
            if self.stream.is_none() && self.strangers >= 2 * PATIENCE {
                self.fail(self.input.at(), "the stream has no head, and its packets are not Opus");
            }
            return false;
        };
        let head = self.given.clone().unwrap_or_else(|| OpusHead::assumed(first));
        let stream = Stream::join(page, head, self.input.at());
        if let Some(old) = &mut self.stream {
            old.abandon(&mut self.events);
            self.timeline.restart();
        }
        self.stream = Some(stream);
        true
    }
}

/// The first packet of a page of an unknown stream, where all its whole packets are Opus and there are some.
fn joinable<'a>(page: &Page, bytes: &'a [u8], given: Option<&OpusHead>) -> Option<&'a [u8]> {
    let (mut start, mut end) = (page.body(), page.body());
    let (mut rest_of_another, mut first) = (page.continued(), None);
    for &lace in page.lacing(bytes) {
        end += usize::from(lace);
        if lace == 255 {
            continue;
        }
        let packet = &bytes[start..end];
        start = end;
        if std::mem::take(&mut rest_of_another) {
            continue;
        }
        if packet.starts_with(b"OpusTags") {
            return Some(&[]);
        }
        plausible(packet, given).then_some(())?;
        first.get_or_insert(packet);
    }
    first
}

/// What a logical stream carries, by its first packet.
fn codec(packet: &[u8]) -> String {
    let known: [(&[u8], &str); 9] = [
        (b"\x01vorbis", "Vorbis"),
        (b"\x7FFLAC", "FLAC"),
        (b"fLaC", "FLAC"),
        (b"Speex   ", "Speex"),
        (b"\x80theora", "Theora video"),
        (b"PCM     ", "PCM"),
        (b"CELT    ", "CELT"),
        (b"OVP80", "VP8 video"),
        (b"fishead\0", "a Skeleton and nothing that it describes"),
    ];
    match known.iter().find(|(magic, _)| packet.starts_with(magic)) {
        Some((_, name)) => (*name).into(),
        None => format!("an unknown codec ({:?})", packet[..packet.len().min(8)].escape_ascii().to_string()),
    }
}

const _: () = assert!(MAX_SEARCH > MAX_PAGE as u64, "whoever joins within a page must get to the next");
