//! Streams to take apart: real recordings, and Ogg pages and WebM elements put together by hand.
#![allow(dead_code)] // each test file uses its part

use std::path::PathBuf;

use antiphon_core::container::ogg::OggDemuxer;
use antiphon_core::container::webm::WebmDemuxer;
use antiphon_core::container::{Event, Gap, Header, OpusHead, Tags};
use antiphon_core::{Error, Result};

/// An event with its bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    Header(Header),
    Packet(Taken),
    Gap(Gap),
    End(u64),
    Error(Error),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    pub data: Vec<u8>,
    pub timestamp: i64,
    pub duration: u32,
    pub discard_start: u32,
    pub discard_end: u32,
    pub track: u64,
    pub at: u64,
}

pub trait Demuxer {
    fn push(&mut self, bytes: &[u8]) -> Result<()>;
    fn finish(&mut self);
    fn next_event(&mut self) -> Result<Option<Event<'_>>>;
}

macro_rules! demuxer {
    ($name:ty) => {
        impl Demuxer for $name {
            fn push(&mut self, bytes: &[u8]) -> Result<()> {
                self.push(bytes)
            }
            fn finish(&mut self) {
                self.finish();
            }
            fn next_event(&mut self) -> Result<Option<Event<'_>>> {
                self.next_event()
            }
        }
    };
}
demuxer!(OggDemuxer);
demuxer!(WebmDemuxer);

/// Everything that a demuxer makes of some pieces.
pub fn events<'a>(demuxer: &mut impl Demuxer, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for piece in pieces {
        demuxer.push(piece).expect("a demuxer takes pieces until it is finished");
        if !drain(demuxer, &mut seen) {
            return seen;
        }
    }
    demuxer.finish();
    drain(demuxer, &mut seen);
    seen
}

fn drain(demuxer: &mut impl Demuxer, seen: &mut Vec<Seen>) -> bool {
    loop {
        seen.push(match demuxer.next_event() {
            Ok(None) => return true,
            Ok(Some(Event::Header(header))) => Seen::Header(*header),
            Ok(Some(Event::Gap(gap))) => Seen::Gap(gap),
            Ok(Some(Event::End { at })) => Seen::End(at),
            Ok(Some(Event::Packet(packet))) => Seen::Packet(Taken {
                data: packet.data.to_vec(),
                timestamp: packet.timestamp,
                duration: packet.duration,
                discard_start: packet.discard_start,
                discard_end: packet.discard_end,
                track: packet.track,
                at: packet.at,
            }),
            Err(error) => {
                seen.push(Seen::Error(error));
                return false;
            }
        });
    }
}

pub fn packets(seen: &[Seen]) -> Vec<Taken> {
    seen.iter().filter_map(|event| if let Seen::Packet(packet) = event { Some(packet.clone()) } else { None }).collect()
}

pub fn headers(seen: &[Seen]) -> Vec<Header> {
    seen.iter().filter_map(|event| if let Seen::Header(header) = event { Some(header.clone()) } else { None }).collect()
}

pub fn gaps(seen: &[Seen]) -> Vec<Gap> {
    seen.iter().filter_map(|event| if let Seen::Gap(gap) = event { Some(*gap) } else { None }).collect()
}

pub fn error(seen: &[Seen]) -> String {
    match seen.last() {
        Some(Seen::Error(error)) => error.to_string(),
        other => panic!("no error but {other:?}"),
    }
}

/// Samples from the first audible one to the end, if every packet follows the one before.
pub fn contiguous(packets: &[Taken]) -> Option<i64> {
    let first = packets.first()?;
    let mut next = first.timestamp;
    for packet in packets {
        if packet.timestamp != next {
            return None;
        }
        next += i64::from(packet.duration);
    }
    Some(next - i64::from(packets.last()?.discard_end) - first.timestamp - i64::from(first.discard_start))
}

pub fn datas(packets: &[Taken]) -> Vec<&[u8]> {
    packets.iter().map(|packet| &packet.data[..]).collect()
}

pub fn vector(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/containers").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An Opus packet of 20 ms (CELT, full band, mono), with content that tells it from others.
pub fn packet(number: u32, bytes: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut data = vec![0xF8];
    data.extend((1..bytes).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
    data
}

pub fn head(pre_skip: u16) -> OpusHead {
    OpusHead::new(1, pre_skip, 48_000).expect("one channel is possible")
}

// Ogg ----------------------------------------------------------------------------------------------------------------

pub const CONTINUED: u8 = 1;
pub const BEGIN: u8 = 2;
pub const END: u8 = 4;

/// A page of packets; `open` leaves the last one to be continued (its length must be a multiple of 255).
pub struct Page<'a> {
    pub serial: u32,
    pub sequence: u32,
    pub flags: u8,
    pub granule: i64,
    pub packets: &'a [&'a [u8]],
    pub open: bool,
}

impl Page<'_> {
    pub fn bytes(&self) -> Vec<u8> {
        let mut lacing = Vec::new();
        for packet in self.packets {
            lacing.extend(std::iter::repeat_n(255, packet.len() / 255));
            lacing.push((packet.len() % 255) as u8);
        }
        if self.open {
            assert_eq!(lacing.pop(), Some(0));
        }
        let mut page = b"OggS\0".to_vec();
        page.push(self.flags);
        page.extend(self.granule.to_le_bytes());
        page.extend(self.serial.to_le_bytes());
        page.extend(self.sequence.to_le_bytes());
        page.extend([0; 4]);
        page.push(lacing.len() as u8);
        page.extend(lacing);
        page.extend(self.packets.concat());
        let mut sum = 0_u32;
        for byte in &page {
            sum ^= u32::from(*byte) << 24;
            for _ in 0..8 {
                sum = (sum << 1) ^ if sum >> 31 != 0 { 0x04C1_1DB7 } else { 0 };
            }
        }
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        page
    }
}

/// The two pages of headers.
pub fn ogg_headers(serial: u32, pre_skip: u16) -> Vec<u8> {
    let tags = Tags { vendor: "kit".into(), comments: vec![] }.to_bytes().expect("no comments are fine");
    let head = head(pre_skip).to_bytes();
    let first = Page { serial, sequence: 0, flags: BEGIN, granule: 0, packets: &[&head], open: false };
    let second = Page { serial, sequence: 1, flags: 0, granule: 0, packets: &[&tags], open: false };
    [first.bytes(), second.bytes()].concat()
}

/// A stream of packets of 20 ms, `per_page` on a page, each page a piece, the headers first.
pub fn ogg_pages(serial: u32, pre_skip: u16, packets: &[Vec<u8>], per_page: usize) -> Vec<Vec<u8>> {
    let mut pages = vec![ogg_headers(serial, pre_skip)];
    let mut granule = 0;
    let count = packets.chunks(per_page).len();
    for (index, chunk) in packets.chunks(per_page).enumerate() {
        granule += 960 * chunk.len() as i64;
        let flags = if index + 1 == count { END } else { 0 };
        let parts: Vec<&[u8]> = chunk.iter().map(|packet| &packet[..]).collect();
        pages.push(Page { serial, sequence: 2 + index as u32, flags, granule, packets: &parts, open: false }.bytes());
    }
    pages
}

// WebM ---------------------------------------------------------------------------------------------------------------

fn id(id: u32) -> Vec<u8> {
    id.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect()
}

pub fn element(number: u32, content: &[u8]) -> Vec<u8> {
    let size = (content.len() as u64 | 1 << 56).to_be_bytes();
    [&id(number), &size[..], content].concat()
}

pub fn open_element(number: u32) -> Vec<u8> {
    [&id(number)[..], &[0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]].concat()
}

pub fn ebml_header() -> Vec<u8> {
    element(0x1A45_DFA3, &element(0x4282, b"webm"))
}

pub fn track(number: u8, kind: u8, codec: &str, private: Option<&[u8]>) -> Vec<u8> {
    let mut entry = element(0xD7, &[number]);
    entry.extend(element(0x83, &[kind]));
    entry.extend(element(0x86, codec.as_bytes()));
    if let Some(private) = private {
        entry.extend(element(0x63A2, private));
    }
    element(0xAE, &entry)
}

pub fn tracks(entries: &[Vec<u8>]) -> Vec<u8> {
    element(0x1654_AE6B, &entries.concat())
}

/// A header as MediaRecorder writes it: a segment of unknown size with one Opus track.
pub fn webm_header(number: u8, pre_skip: u16) -> Vec<u8> {
    let info = element(0x1549_A966, &element(0x2A_D7B1, &1_000_000_u32.to_be_bytes()));
    let opus = track(number, 2, "A_OPUS", Some(&head(pre_skip).to_bytes()));
    [ebml_header(), open_element(0x1853_8067), info, tracks(&[opus])].concat()
}

/// A cluster of unknown size, and its timestamp.
pub fn cluster(milliseconds: u32) -> Vec<u8> {
    [open_element(0x1F43_B675), element(0xE7, &milliseconds.to_be_bytes())].concat()
}

pub fn block(number: u8, time: i16, flags: u8, content: &[u8]) -> Vec<u8> {
    [&[0x80 | number], &time.to_be_bytes()[..], &[flags], content].concat()
}

pub fn simple_block(number: u8, time: i16, content: &[u8]) -> Vec<u8> {
    element(0xA3, &block(number, time, 0x80, content))
}

pub fn block_group(number: u8, time: i16, content: &[u8], discard: Option<i64>) -> Vec<u8> {
    let mut group = element(0xA1, &block(number, time, 0, content));
    if let Some(nanoseconds) = discard {
        group.extend(element(0x75A2, &nanoseconds.to_be_bytes()));
    }
    element(0xA0, &group)
}
