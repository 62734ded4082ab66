//! One logical stream: pages become packets with times.

use std::collections::VecDeque;
use std::ops::Range;

use super::page::Page;
use crate::container::event::Ready;
use crate::container::timeline::{FARTHEST, Timeline};
use crate::container::{Header, MAX_PACKET, OpusHead, Packet, Tags, toc};

/// Where a packet's bytes lie.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Within the page.
    Page(Range<usize>),
    /// In [`Stream::assembled`], since it began on another page.
    Assembled,
}

/// What of a packet is known whose end is on a later page.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    open: bool,
    at: u64,
    length: u64,
}

impl Partial {
    fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.length <= MAX_PACKET as u64 {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn begin(&mut self, at: u64) {
        self.bytes.clear();
        (self.open, self.at, self.length) = (true, at, 0);
    }
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) serial: u32,
    head: OpusHead,
    head_at: u64,
    assumed: bool,
    announced: bool,
    next_page: Option<u32>,
    partial: Partial,
    pub(super) assembled: Vec<u8>,
    /// Granule position at the end of the last packet; none where packets were lost or the start was not seen.
    position: Option<i64>,
    /// Samples of pre-skip still to come.
    pre_skip: u32,
    pub(super) ended: bool,
}

pub(super) type Events = VecDeque<Ready<Place>>;

impl Stream {
    /// A stream whose head was seen.
    pub(super) fn begin(page: &Page, head: OpusHead, head_at: u64) -> Self {
        Self {
            serial: page.serial,
            pre_skip: head.pre_skip.into(),
            head,
            head_at,
            assumed: false,
            announced: false,
            next_page: Some(page.sequence.wrapping_add(1)),
            partial: Partial::default(),
            assembled: Vec::new(),
            position: Some(0),
            ended: page.ends(),
        }
    }

    /// A stream that is joined with this page.
    pub(super) fn join(page: &Page, head: OpusHead, at: u64) -> Self {
        let begun = Self::begin(page, head, at);
        Self { assumed: true, pre_skip: 0, next_page: None, position: None, ended: false, ..begun }
    }

    /// The stream goes on no further.
    pub(super) fn abandon(&mut self, events: &mut Events) {
        if std::mem::take(&mut self.partial.open) {
            events.push_back(Ready::gap(self.partial.at, self.partial.length, "the rest of a packet is missing"));
        }
    }

    /// Turn a page into events. `reported` says that a gap right before the page was told of.
    pub(super) fn take(
        &mut self,
        page: &Page,
        bytes: &[u8],
        at: u64,
        reported: bool,
        timeline: &mut Timeline,
        events: &mut Events,
    ) {
        let lost = self.next_page.is_some_and(|next| next != page.sequence);
        if lost {
            if !reported {
                events.push_back(Ready::gap(at, 0, "pages are missing"));
            }
            self.position = None;
        }
        self.next_page = Some(page.sequence.wrapping_add(1));
        let continues = page.continued() && self.partial.open && !lost;
        if !continues {
            self.position = self.position.filter(|_| !self.partial.open);
            self.abandon(events);
        }
        self.split(page, bytes, at, page.continued() && !continues, events);
        self.time(page, timeline, events);
        self.ended = page.ends();
    }

    /// Cut a page into packets; `headless` says that the beginning of the first is missing.
    fn split(&mut self, page: &Page, bytes: &[u8], at: u64, mut headless: bool, events: &mut Events) {
        let mut start = page.body();
        let mut end = start;
        for &lace in page.lacing(bytes) {
            end += usize::from(lace);
            if lace == 255 {
                continue;
            }
            if headless {
                headless = false;
                let length = (end - start) as u64;
                events.push_back(Ready::gap(at + start as u64, length, "the beginning of a packet is missing"));
            } else if self.partial.open {
                self.partial.add(&bytes[start..end]);
                self.partial.open = false;
                std::mem::swap(&mut self.assembled, &mut self.partial.bytes);
                let data = std::mem::take(&mut self.assembled);
                self.packet(&data, Place::Assembled, self.partial.at, self.partial.length, events);
                self.assembled = data;
            } else {
                let length = (end - start) as u64;
                self.packet(&bytes[start..end], Place::Page(start..end), at + start as u64, length, events);
            }
            start = end;
        }
        if start < end {
            if headless {
                let length = (end - start) as u64;
                events.push_back(Ready::gap(at + start as u64, length, "the beginning of a packet is missing"));
                return;
            }
            if !self.partial.open {
                self.partial.begin(at + start as u64);
            }
            self.partial.add(&bytes[start..end]);
        }
    }

    /// One whole packet, but for its time. Of `length` bytes, `data` holds those that fit.
    fn packet(&mut self, data: &[u8], place: Place, at: u64, length: u64, events: &mut Events) {
        let comments = Tags::recognise(data);
        if !self.announced {
            self.announced = true;
            events.push_back(Ready::Header(Box::new(Header {
                head: self.head.clone(),
                tags: comments.then(|| Tags::parse(data)),
                assumed: self.assumed,
                at: self.head_at,
            })));
        }
        if comments {
            return;
        }
        if length > MAX_PACKET as u64 {
            events.push_back(Ready::gap(at, length, "a packet of more than 61440 bytes"));
            return;
        }
        match toc::duration(data) {
            Ok(duration) => {
                let packet = Packet {
                    data: &[],
                    timestamp: 0,
                    duration,
                    discard_start: 0,
                    discard_end: 0,
                    track: self.serial.into(),
                    at,
                };
                events.push_back(Ready::Packet { place, packet });
            }
            Err((_, reason)) => events.push_back(Ready::gap(at, length, reason)),
        }
    }

    /// Give the packets of a page their times, by the granule position at its end (RFC 7845 §4).
    fn time(&mut self, page: &Page, timeline: &mut Timeline, events: &mut Events) {
        let packets = || {
            events.iter().filter_map(|event| if let Ready::Packet { packet, .. } = event { Some(packet) } else { None })
        };
        let total: i64 = packets().map(|packet| i64::from(packet.duration)).sum();
        if total == 0 {
            return;
        }
        let granule = (0..=FARTHEST).contains(&page.granule).then_some(page.granule);
        let (start, mut trim) = match (granule, self.position) {
            (Some(granule), Some(position)) if page.ends() && (position..position + total).contains(&granule) => {
                (position, position + total - granule)
            }
            (Some(granule), _) => ((granule - total).max(0), 0),
            (None, position) => (position.unwrap_or(0), 0),
        };
        self.position = Some(start + total);
        let mut end = start + total;
        for event in events.iter_mut().rev() {
            if let Ready::Packet { packet, .. } = event {
                packet.discard_end = trim.min(packet.duration.into()) as u32;
                trim -= i64::from(packet.discard_end);
                end -= i64::from(packet.duration);
                packet.timestamp = end;
            }
        }
        for event in events.iter_mut() {
            if let Ready::Packet { packet, .. } = event {
                packet.discard_start = self.pre_skip.min(packet.duration - packet.discard_end);
                self.pre_skip = self.pre_skip.saturating_sub(packet.duration);
                let time = packet.timestamp - i64::from(self.head.pre_skip);
                let discard = (packet.discard_start, packet.discard_end);
                packet.timestamp = timeline.place(time, packet.duration, discard, 0);
            }
        }
    }
}
