//! Ogg Opus: what is read of real, damaged, joined and chained streams, and what is written.

#![allow(clippy::unwrap_used)]

mod container_kit;

use antiphon_core::Error;
use antiphon_core::container::ogg::{OggDemuxer, OggWriter, PageFlush};
use antiphon_core::container::{CLOCK, Tags};
use container_kit::*;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Vec<Seen> {
    events(&mut OggDemuxer::new(), [bytes])
}

fn speech(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| packet(number, 40 + number as usize % 50)).collect()
}

fn write(packets: &[Vec<u8>], flush: PageFlush, discard: u32) -> Vec<u8> {
    let tags = Tags { vendor: "tests".into(), comments: vec!["TITLE=one".into()] };
    let mut writer = OggWriter::new(head(312), &tags, 7, flush).unwrap();
    let mut out = Vec::new();
    for packet in packets {
        writer.write(packet, &mut out).unwrap();
    }
    writer.finish(discard, &mut out).unwrap();
    out
}

#[test]
fn a_recording_of_firefox_is_read_to_its_last_sample() {
    let seen = read(&vector("firefox-audio.ogg"));
    let [header] = &headers(&seen)[..] else { panic!("one header") };
    assert_eq!((header.head.channels, header.head.pre_skip, header.assumed), (1, 312, false));
    assert_eq!(header.tags.as_ref().map(|tags| tags.comments.len()), Some(1));
    assert_eq!(gaps(&seen), []);
    let packets = packets(&seen);
    assert!(packets.iter().all(|packet| packet.duration == 960));
    assert_eq!((packets[0].timestamp, packets[0].discard_start), (-312, 312));
    assert!(contiguous(&packets).is_some_and(|samples| samples > i64::from(CLOCK)));
    assert!(packets.last().is_some_and(|last| last.discard_end > 0), "Firefox trims its last packet");
}

#[test]
fn what_is_written_is_read_back_with_the_same_times() {
    let wanted = speech(120);
    for flush in [PageFlush::EachPacket, PageFlush::Samples(4_800), PageFlush::default()] {
        let seen = read(&write(&wanted, flush, 500));
        let taken = packets(&seen);
        assert_eq!(datas(&taken), wanted);
        assert_eq!(taken[0].timestamp, -312);
        assert_eq!(contiguous(&taken), Some(120 * 960 - 312 - 500), "{flush:?}");
        assert_eq!(gaps(&seen), []);
        assert_eq!(headers(&seen)[0].tags.as_ref().map(|tags| tags.comments.clone()), Some(vec!["TITLE=one".into()]));
    }
}

#[test]
fn a_stream_shorter_than_its_page_is_trimmed_at_both_ends() {
    let taken = packets(&read(&write(&speech(1), PageFlush::default(), 600)));
    assert_eq!((taken[0].timestamp, taken[0].discard_start, taken[0].discard_end), (-312, 312, 600));
}

#[test]
fn trimming_and_pre_skip_reach_over_several_packets() {
    let mut writer = OggWriter::new(head(1_000), &Tags::default(), 7, PageFlush::default()).unwrap();
    let mut out = Vec::new();
    for number in 0..4 {
        writer.write(&packet(number, 50), &mut out).unwrap();
    }
    writer.finish(1_100, &mut out).unwrap();
    let discards: Vec<_> = packets(&read(&out)).iter().map(|taken| (taken.discard_start, taken.discard_end)).collect();
    assert_eq!(discards, [(960, 0), (40, 0), (0, 140), (0, 960)]);
}

#[test]
fn the_largest_packets_are_written_and_read() {
    let wanted: Vec<_> = (0..4).map(|number| packet(number, 61_440)).collect();
    let taken = packets(&read(&write(&wanted, PageFlush::default(), 0)));
    assert_eq!(datas(&taken), wanted);
    let mut writer = OggWriter::new(head(0), &Tags::default(), 7, PageFlush::default()).unwrap();
    assert!(matches!(writer.write(&packet(0, 61_441), &mut Vec::new()), Err(Error::TooLarge(_))));
}

#[test]
fn a_gap_is_written_as_packets_without_frames() {
    let mut writer = OggWriter::new(head(0), &Tags::default(), 7, PageFlush::default()).unwrap();
    let mut out = Vec::new();
    assert!(matches!(writer.write_gap(960, &mut out), Err(Error::Unsupported(_))));
    writer.write(&packet(0, 50), &mut out).unwrap();
    assert_eq!(writer.write_gap(3_000, &mut out), Ok(2_880));
    writer.write(&packet(1, 50), &mut out).unwrap();
    writer.finish(0, &mut out).unwrap();
    let taken = packets(&read(&out));
    assert_eq!(taken.iter().map(|packet| packet.data.len()).collect::<Vec<_>>(), [50, 1, 1, 1, 50]);
    assert_eq!(contiguous(&taken), Some(5 * 960));
}

#[test]
fn a_flushed_stream_ends_with_an_empty_page() {
    let mut writer = OggWriter::new(head(0), &Tags::default(), 7, PageFlush::EachPacket).unwrap();
    let mut out = Vec::new();
    writer.write(&packet(0, 50), &mut out).unwrap();
    let before = out.len();
    writer.flush(&mut out).unwrap();
    assert!(out.len() > before);
    assert!(matches!(writer.finish(1, &mut Vec::new()), Err(Error::Unsupported(_))));
    writer.finish(0, &mut out).unwrap();
    assert!(matches!(writer.write(&packet(1, 50), &mut out), Err(Error::Unsupported(_))));
    let seen = read(&out);
    assert_eq!(packets(&seen).len(), 1);
    assert_eq!(gaps(&seen), []);
}

#[test]
fn packets_across_pages_are_put_together() {
    let long = packet(1, 255 * 3);
    let (first, rest) = long.split_at(255);
    let (second, third) = rest.split_at(255);
    fn page(sequence: u32, flags: u8, granule: i64, packets: &[&[u8]], open: bool) -> Vec<u8> {
        Page { serial: 5, sequence, flags, granule, packets, open }.bytes()
    }
    let after = packet(2, 30);
    let stream = [
        ogg_headers(5, 0),
        page(2, 0, -1, &[first], true),
        page(3, CONTINUED, -1, &[second], true),
        page(4, CONTINUED | END, 1_920, &[third, &after], false),
    ]
    .concat();
    let seen = read(&stream);
    assert_eq!(datas(&packets(&seen)), [&long[..], &after]);
    assert_eq!(contiguous(&packets(&seen)), Some(1_920));
    assert_eq!(gaps(&seen), []);

    // The page in the middle is lost: the packet is, and nothing else.
    let broken =
        [ogg_headers(5, 0), page(2, 0, -1, &[first], true), page(4, CONTINUED | END, 1_920, &[third, &after], false)]
            .concat();
    let seen = read(&broken);
    assert_eq!(datas(&packets(&seen)), [&after[..]]);
    assert_eq!(packets(&seen)[0].timestamp, 960);
    let reasons: Vec<_> = gaps(&seen).iter().map(|gap| gap.reason).collect();
    assert_eq!(
        reasons,
        ["pages are missing", "the rest of a packet is missing", "the beginning of a packet is missing"]
    );
}

#[test]
fn a_damaged_page_is_passed_over_and_named_by_its_byte() {
    let wanted = speech(30);
    let mut pages = ogg_pages(5, 0, &wanted, 5);
    let before: usize = pages[..3].iter().map(Vec::len).sum();
    let length = pages[3].len();
    pages[3][40] ^= 1;
    let seen = read(&pages.concat());
    let taken = packets(&seen);
    assert_eq!(datas(&taken), [&wanted[..10], &wanted[15..]].concat());
    assert_eq!(taken[10].timestamp, 15 * 960);
    let [gap] = &gaps(&seen)[..] else { panic!("one gap: {:?}", gaps(&seen)) };
    assert_eq!((gap.at, gap.bytes, gap.reason), (before as u64, length as u64, "a page with a wrong checksum"));
}

#[test]
fn of_several_streams_the_opus_one_is_taken() {
    let wanted = speech(10);
    let pages = ogg_pages(5, 312, &wanted, 5);
    let video =
        Page { serial: 9, sequence: 0, flags: BEGIN, granule: 0, packets: &[b"\x80theora..."], open: false }.bytes();
    let frame = Page { serial: 9, sequence: 1, flags: 0, granule: 3, packets: &[&[7; 300]], open: false }.bytes();
    let mut mixed = video;
    for page in &pages {
        mixed.extend(page);
        mixed.extend(&frame);
    }
    let seen = read(&mixed);
    assert_eq!(datas(&packets(&seen)), wanted);
    assert!(packets(&seen).iter().all(|packet| packet.track == 5));
    assert_eq!(gaps(&seen), []);
}

#[test]
fn chained_streams_go_on_in_time() {
    let (one, two) = (speech(10), speech(7));
    let chain = [write(&one, PageFlush::default(), 100), write(&two, PageFlush::default(), 0)].concat();
    let seen = read(&chain);
    assert_eq!(headers(&seen).len(), 2);
    let taken = packets(&seen);
    assert_eq!(datas(&taken), [one, two].concat());
    let end = 10 * 960 - 312 - 100;
    assert_eq!(taken[10].timestamp + i64::from(taken[10].discard_start), end);
    assert_eq!(taken[10].discard_start, 312);
    assert_eq!(taken.last().map(|last| last.timestamp + 960), Some(end - 312 + 7 * 960));
}

#[test]
fn a_stream_that_is_joined_in_the_middle_goes_on_from_the_next_page() {
    let wanted = speech(30);
    let pages = ogg_pages(5, 312, &wanted, 5);
    let tail = [&pages[2][100..], &pages[3..].concat()].concat();
    let seen = read(&tail);
    let [header] = &headers(&seen)[..] else { panic!("one header") };
    assert!(header.assumed);
    assert_eq!((header.head.channels, header.head.pre_skip), (1, 0));
    assert_eq!(datas(&packets(&seen)), wanted[10..]);
    assert_eq!(packets(&seen)[0].timestamp, 10 * 960);
    assert_eq!((gaps(&seen)[0].at, gaps(&seen)[0].bytes), (0, pages[2].len() as u64 - 100));

    let mut known = OggDemuxer::with_header(head(312));
    let seen = events(&mut known, [&tail[..]]);
    assert_eq!(headers(&seen)[0].head, head(312));
    assert_eq!(packets(&seen)[0].timestamp, 10 * 960 - 312);
    assert_eq!(packets(&seen)[0].discard_start, 0);
}

#[test]
fn a_sender_that_begins_anew_without_a_head_is_followed_after_a_while() {
    let wanted = speech(60);
    let first = ogg_pages(5, 0, &wanted[..20], 2);
    let second = ogg_pages(6, 0, &wanted[20..], 2);
    let stream = [first[..8].concat(), second[1..].concat()].concat();
    let seen = read(&stream);
    let taken = packets(&seen);
    assert_eq!(headers(&seen).len(), 2);
    assert!(taken.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp));
    assert_eq!(taken.last().map(|last| &last.data), wanted.last());
    assert!(taken.len() >= 40, "{} packets", taken.len());
}

#[test]
fn a_codec_that_is_not_opus_is_named() {
    let vorbis = Page { serial: 9, sequence: 0, flags: BEGIN, granule: 0, packets: &[b"\x01vorbis...."], open: false };
    let next = Page { serial: 9, sequence: 1, flags: 0, granule: 0, packets: &[b"\x03vorbis...."], open: false };
    let seen = read(&[vorbis.bytes(), next.bytes()].concat());
    assert_eq!(error(&seen), "byte 28: the stream carries Vorbis; only Opus can be taken");
    assert_eq!(error(&read(b"RIFF\x24\x00\x00\x00WAVE")), "byte 0: the stream begins like a WAV file, not like Ogg");
    assert!(error(&read(&vector("chromium-audio.webm"))).contains("WebM"));
}

#[test]
fn a_bad_head_is_named_by_its_byte() {
    let mut bytes = head(0).to_bytes();
    bytes[9] = 0;
    let page = Page { serial: 9, sequence: 0, flags: BEGIN, granule: 0, packets: &[&bytes], open: false };
    assert_eq!(error(&read(&page.bytes())), "byte 37: an Opus stream of no channels");
}

#[test]
fn packets_that_are_not_opus_are_gaps() {
    let good = packet(0, 30);
    let page = Page {
        serial: 5,
        sequence: 2,
        flags: END,
        granule: 1_920,
        packets: &[&good, b"", b"\x7B", &good],
        open: false,
    };
    let seen = read(&[ogg_headers(5, 0), page.bytes()].concat());
    assert_eq!(packets(&seen).len(), 2);
    let reasons: Vec<_> = gaps(&seen).iter().map(|gap| (gap.bytes, gap.reason)).collect();
    assert_eq!(reasons, [(0, "a packet is empty"), (1, "a packet ends before its frame count")]);
}

#[test]
fn what_is_no_ogg_at_all_is_given_up() {
    let seen = read(&vec![0x11; 2 << 20]);
    assert_eq!(error(&seen), "byte 0: no Ogg page in 1048576 bytes");
}

#[test]
fn memory_stays_bounded_whatever_a_packet_claims() {
    let mut demuxer = OggDemuxer::new();
    demuxer.push(&ogg_headers(5, 0)).unwrap();
    let part = vec![0xF8; 255 * 255];
    for sequence in 2..400 {
        let flags = if sequence == 2 { 0 } else { CONTINUED };
        demuxer.push(&Page { serial: 5, sequence, flags, granule: -1, packets: &[&part], open: true }.bytes()).unwrap();
        while demuxer.next_event().unwrap().is_some() {}
    }
    let last = Page { serial: 5, sequence: 400, flags: CONTINUED, granule: 960, packets: &[&[1; 10]], open: false };
    let seen = events(&mut demuxer, [&last.bytes()[..]]);
    assert_eq!(gaps(&seen)[0].reason, "a packet of more than 61440 bytes");
    assert_eq!(gaps(&seen)[0].bytes, 398 * 255 * 255 + 10);
    assert!(matches!(demuxer.push(&[]), Err(Error::Unsupported(_))));
    assert!(matches!(OggDemuxer::new().push(&vec![0; (64 << 20) + 1]), Err(Error::TooLarge(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_cut_gives_the_same_events(
        cuts in prop::collection::vec(0.0..1.0, 0..40),
        damage in prop::collection::vec((0.0..1.0, any::<u8>()), 0..4),
        from in 0.0..0.6,
        sizes in prop::collection::vec(1_usize..600, 5..60),
        per_page in 1_usize..9,
    ) {
        let sent: Vec<_> = sizes.iter().enumerate().map(|(number, &size)| packet(number as u32, size)).collect();
        let mut stream = [ogg_pages(5, 312, &sent, per_page).concat(), ogg_pages(6, 80, &sent[..4], 2).concat()].concat();
        for (place, mask) in damage {
            let place = (place * stream.len() as f64) as usize;
            stream[place] ^= mask;
        }
        let stream = &stream[(from * stream.len() as f64) as usize..];
        let mut cuts: Vec<_> = cuts.iter().map(|cut| (cut * stream.len() as f64) as usize).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let whole = read(stream);
        let pieces = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
        prop_assert_eq!(&events(&mut OggDemuxer::new(), pieces), &whole);
        prop_assert_eq!(&events(&mut OggDemuxer::new(), stream.chunks(1)), &whole);
        for packet in packets(&whole) {
            let at = packet.at as usize;
            prop_assert!(packet.data.len() > 255 || stream[at..].starts_with(&packet.data));
        }
    }
}
