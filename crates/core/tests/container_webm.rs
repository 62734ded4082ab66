//! WebM: what is read of real, cut, joined and restarted streams.

#![allow(clippy::unwrap_used)]

mod container_kit;

use antiphon_core::container::webm::WebmDemuxer;
use antiphon_core::container::{CLOCK, check_packet};
use container_kit::*;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Vec<Seen> {
    events(&mut WebmDemuxer::new(), [bytes])
}

fn speech(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| packet(number, 40 + number as usize % 50)).collect()
}

/// Clusters of unknown size with `per_cluster` packets of 20 ms, beginning at `from` packets.
fn clusters(packets: &[Vec<u8>], from: u32, per_cluster: usize) -> Vec<Vec<u8>> {
    let chunks = packets.chunks(per_cluster).enumerate();
    chunks
        .map(|(index, chunk)| {
            let mut bytes = cluster((from + (index * per_cluster) as u32) * 20);
            for (position, packet) in chunk.iter().enumerate() {
                bytes.extend(simple_block(1, 20 * position as i16, packet));
            }
            bytes
        })
        .collect()
}

fn recorder(packets: &[Vec<u8>]) -> Vec<u8> {
    [webm_header(1, 0), clusters(packets, 0, 10).concat()].concat()
}

#[test]
fn recordings_of_browsers_are_read_whole() {
    let recordings =
        [("chromium-audio.webm", 2_880, 0), ("chromium-video.webm", 2_880, 0), ("firefox-audio.webm", 960, 312)];
    for (name, duration, pre_skip) in recordings {
        let seen = read(&vector(name));
        let [header] = &headers(&seen)[..] else { panic!("{name}: one header") };
        assert_eq!((header.head.channels, header.head.pre_skip, header.assumed), (1, pre_skip, false), "{name}");
        assert_eq!(gaps(&seen), [], "{name}");
        let packets = packets(&seen);
        assert!(
            packets.iter().all(|packet| packet.duration == duration && check_packet(&packet.data).is_ok()),
            "{name}"
        );
        assert!(packets.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp), "{name}");
        let played: i64 = packets.iter().map(|packet| i64::from(packet.duration - packet.discard_start)).sum();
        assert!((played - 2 * i64::from(CLOCK)).abs() < i64::from(CLOCK) / 2, "{name}: {played} samples");
    }
}

#[test]
fn timestamps_of_a_millisecond_become_exact_where_packets_follow_each_other() {
    let times = [0, 21, 41, 60, 81];
    let mut stream = [webm_header(1, 312), cluster(0)].concat();
    for (number, time) in times.into_iter().enumerate() {
        stream.extend(simple_block(1, time, &packet(number as u32, 50)));
    }
    assert_eq!(contiguous(&packets(&read(&stream))), Some(5 * 960 - 312));
    // More than a millisecond is a gap, and stays one.
    stream.extend(simple_block(1, 103, &packet(9, 50)));
    assert_eq!(packets(&read(&stream))[5].timestamp, 103 * 48);
}

#[test]
fn the_codec_delay_lies_before_zero() {
    let private = head(312).to_bytes();
    let mut entry = track(1, 2, "A_OPUS", Some(&private));
    entry.truncate(entry.len());
    let delay = element(0x56AA, &6_500_000_u32.to_be_bytes());
    let content = [&entry[9..], &delay].concat();
    let tracks = tracks(&[element(0xAE, &content)]);
    let stream =
        [ebml_header(), open_element(0x1853_8067), tracks, cluster(0), simple_block(1, 0, &packet(0, 50))].concat();
    let taken = packets(&read(&stream));
    assert_eq!((taken[0].timestamp, taken[0].discard_start), (-312, 312));
}

#[test]
fn sizes_may_be_known_and_other_elements_are_passed_over() {
    let wanted = speech(4);
    let mut content = element(0xE7, &[0]);
    content.extend(element(0xAB, &[0, 0, 1]));
    for (number, packet) in wanted.iter().enumerate() {
        content.extend(simple_block(1, 20 * number as i16, packet));
        content.extend(element(0xEC, &[0; 30]));
    }
    let opus = tracks(&[track(1, 2, "A_OPUS", Some(&head(0).to_bytes()))]);
    let segment = [
        element(0x114D_9B74, &[0; 20]),
        element(0xEC, &[0x1F; 100]),
        opus,
        element(0x1254_C367, &[0; 30]),
        element(0x1F43_B675, &[element(0xBF, &[0; 4]), content].concat()),
        element(0x1C53_BB6B, &[0; 50]),
    ]
    .concat();
    let seen = read(&[ebml_header(), element(0x1853_8067, &segment)].concat());
    assert_eq!(datas(&packets(&seen)), wanted);
    assert_eq!(gaps(&seen), []);
}

#[test]
fn an_unknown_element_is_a_gap_and_costs_nothing_else() {
    let opus = tracks(&[track(1, 2, "A_OPUS", Some(&head(312).to_bytes()))]);
    let unknown = element(0x1FED_CBA9, b"of a later version");
    let stream =
        [ebml_header(), open_element(0x1853_8067), unknown.clone(), opus, clusters(&speech(4), 0, 10).concat()]
            .concat();
    let seen = read(&stream);
    assert_eq!(headers(&seen)[0].head, head(312));
    assert_eq!(datas(&packets(&seen)), speech(4));
    let [gap] = &gaps(&seen)[..] else { panic!("one gap") };
    assert_eq!(gap.bytes, unknown.len() as u64);
}

#[test]
fn laced_blocks_become_packets_that_follow_one_another() {
    let (one, two, three) = (packet(0, 300), packet(1, 50), packet(2, 60));
    let xiph = [&[2, 255, 45, 50][..], &one, &two, &three].concat();
    let ebml = [&[2, 0x41, 0x2C, 0x5F, 0xFF - 250][..], &one, &two, &three].concat();
    let same = [&[1][..], &two, &packet(3, 50)].concat();
    let mut stream = [webm_header(1, 0), cluster(0)].concat();
    stream.extend(element(0xA3, &block(1, 0, 0x82, &xiph)));
    stream.extend(element(0xA3, &block(1, 60, 0x86, &ebml)));
    stream.extend(element(0xA3, &block(1, 120, 0x84, &same)));
    let seen = read(&stream);
    let taken = packets(&seen);
    assert_eq!(datas(&taken), [&one, &two, &three, &one, &two, &three, &two, &packet(3, 50)].map(|data| &data[..]));
    assert_eq!(contiguous(&taken), Some(8 * 960));
    assert_eq!(gaps(&seen), []);
}

#[test]
fn padding_is_to_be_discarded_from_the_end_or_where_negative_from_the_beginning() {
    let mut stream = [webm_header(1, 0), cluster(0)].concat();
    stream.extend(block_group(1, 0, &packet(0, 50), Some(-10_000_000)));
    stream.extend(block_group(1, 20, &packet(1, 50), None));
    stream.extend(block_group(1, 40, &packet(2, 50), Some(13_500_000)));
    let discards: Vec<_> =
        packets(&read(&stream)).iter().map(|taken| (taken.discard_start, taken.discard_end)).collect();
    assert_eq!(discards, [(480, 0), (0, 0), (0, 648)]);
}

#[test]
fn the_first_audio_track_that_is_opus_is_taken() {
    let opus = head(0).to_bytes();
    let all = tracks(&[
        track(1, 1, "V_VP8", None),
        track(2, 2, "A_VORBIS", Some(b"\x02")),
        track(3, 2, "A_OPUS", Some(&opus)),
        track(4, 2, "A_OPUS", Some(&opus)),
    ]);
    let mut stream = [ebml_header(), open_element(0x1853_8067), all, cluster(0)].concat();
    for number in 1..=4 {
        stream.extend(simple_block(number, 0, &packet(number.into(), 70_000 / usize::from(number * number * number))));
        stream.extend(block_group(number, 20, &packet(number.into(), 90), None));
    }
    let seen = read(&stream);
    assert_eq!(datas(&packets(&seen)), [packet(3, 70_000 / 27), packet(3, 90)]);
    assert_eq!(gaps(&seen), []);
}

#[test]
fn what_is_not_opus_is_named() {
    let pcm = error(&read(&vector("chromium-pcm.webm")));
    assert!(pcm.ends_with("the stream carries A_PCM/FLOAT/IEEE; an audio track of A_OPUS is needed"), "{pcm}");
    assert!(pcm.starts_with("byte "), "{pcm}");
    let entries = [track(1, 1, "V_VP9", None), track(2, 2, "A_VORBIS", None)];
    let stream = [ebml_header(), open_element(0x1853_8067), tracks(&entries)].concat();
    assert!(error(&read(&stream)).contains("V_VP9, A_VORBIS"));
    assert!(error(&read(&[ebml_header(), open_element(0x1853_8067), tracks(&[])].concat())).contains("no track"));
    assert_eq!(
        error(&read(&element(0x1A45_DFA3, &element(0x4282, b"odd")))),
        "byte 0: a document of type \"odd\", not webm"
    );
    assert!(error(&read(&vector("firefox-audio.ogg"))).contains("begins like Ogg"));
}

#[test]
fn a_bad_head_is_named_by_its_byte() {
    let mut private = head(0).to_bytes();
    private[18] = 0;
    private[9] = 7;
    let all = tracks(&[track(1, 2, "A_OPUS", Some(&private))]);
    let stream = [ebml_header(), open_element(0x1853_8067), all].concat();
    let at = stream.windows(8).position(|window| window == b"OpusHead").unwrap() + 9;
    assert_eq!(error(&read(&stream)), format!("byte {at}: 7 channels; mapping family 0 has at most 2"));
}

#[test]
fn a_stream_that_is_joined_in_the_middle_begins_with_the_next_cluster() {
    let wanted = speech(30);
    let parts = clusters(&wanted, 100, 10);
    let tail = [&parts[0][57..], &parts[1], &parts[2]].concat();
    let seen = read(&tail);
    let [header] = &headers(&seen)[..] else { panic!("one header") };
    assert!(header.assumed);
    assert_eq!((header.head.channels, header.head.pre_skip), (1, 0));
    assert_eq!(datas(&packets(&seen)), wanted[10..]);
    assert_eq!(packets(&seen)[0].timestamp, 110 * 960);
    assert_eq!(contiguous(&packets(&seen)), Some(20 * 960));
    assert_eq!((gaps(&seen)[0].at, gaps(&seen)[0].bytes), (0, parts[0].len() as u64 - 57));

    // Exactly at a cluster nothing is passed over; a stereo packet says so itself.
    let mut stereo = packet(0, 40);
    stereo[0] |= 4;
    let seen = read(&[cluster(2_000), simple_block(1, 0, &stereo)].concat());
    assert_eq!(gaps(&seen), []);
    assert_eq!(headers(&seen)[0].head.channels, 2);

    let seen = events(&mut WebmDemuxer::with_header(head(312)), [&tail[..]]);
    assert_eq!(headers(&seen)[0].head, head(312));
    assert_eq!(packets(&seen)[0].discard_start, 0);
}

#[test]
fn real_recordings_can_be_joined_anywhere() {
    for name in ["chromium-audio.webm", "chromium-video.webm", "firefox-audio.webm"] {
        let recording = vector(name);
        let whole = packets(&read(&recording));
        for from in (400..recording.len()).step_by(97) {
            let joined = packets(&read(&recording[from..]));
            assert!(datas(&whole).ends_with(&datas(&joined)), "{name} from byte {from}");
            let cluster = recording[from..].windows(4).position(|window| window == [0x1F, 0x43, 0xB6, 0x75]);
            let left = whole.iter().filter(|packet| cluster.is_some_and(|at| packet.at as usize > from + at)).count();
            // Firefox sets no flag that tells audio from video: two packets go by until the third shows it.
            let missed = if name.starts_with("firefox") { 2 } else { 0 };
            assert_eq!(joined.len(), left.saturating_sub(missed), "{name} from byte {from}");
        }
    }
}

#[test]
fn video_is_not_taken_for_opus_where_the_tracks_are_not_known() {
    // Frames of 300 bytes every 33 ms, of which the first byte could begin an Opus packet of 20 ms.
    let mut stream = cluster(5_000);
    for number in 0..20_u32 {
        let time = 33 * number as i16;
        stream.extend(element(0xA3, &block(1, time, 0, &packet(number, 300))));
        stream.extend(element(0xA3, &block(2, time, 0, &[0x61; 2_000])));
    }
    let seen = read(&stream);
    assert_eq!((packets(&seen), headers(&seen)), (vec![], vec![]));
}

#[test]
fn a_recorder_that_begins_anew_goes_on_in_time() {
    let (one, two) = (speech(13), speech(8));
    let seen = read(&[recorder(&one), recorder(&two)].concat());
    assert_eq!(headers(&seen).len(), 2);
    let taken = packets(&seen);
    assert_eq!(datas(&taken), [one, two].concat());
    assert_eq!(contiguous(&taken), Some(21 * 960));
    assert_eq!(gaps(&seen), []);
}

#[test]
fn a_recorder_that_is_cut_off_anywhere_and_begun_anew_loses_one_packet_at_most() {
    let (one, two) = (speech(12), speech(8));
    let first = recorder(&one);
    let start = webm_header(1, 0).len();
    for cut in start..first.len() {
        let seen = read(&[&first[..cut], &recorder(&two)].concat());
        let taken = packets(&seen);
        let sent = packets(&read(&first[..cut])).len();
        assert_eq!(datas(&taken[..sent]), one[..sent], "cut at {cut}");
        assert_eq!(datas(&taken[taken.len() - two.len()..]), two, "cut at {cut}");
        // Where a block ends within what shows that a header begins, its rest is not known to be none.
        assert!(taken.len() <= sent + 1 + two.len(), "cut at {cut}");
        assert!(taken.windows(2).all(|pair| pair[0].timestamp <= pair[1].timestamp), "cut at {cut}");
    }
}

#[test]
fn a_stream_that_ends_in_half_a_cluster_gives_what_is_there() {
    let wanted = speech(15);
    let stream = recorder(&wanted);
    let seen = read(&stream[..stream.len() - 20]);
    assert_eq!(datas(&packets(&seen)), wanted[..14]);
    let [gap] = &gaps(&seen)[..] else { panic!("one gap") };
    assert_eq!(gap.reason, "the stream ends within an element");
    assert_eq!(gap.at + gap.bytes, stream.len() as u64 - 20);
    assert_eq!(seen.last(), Some(&Seen::End(stream.len() as u64 - 20)));
}

#[test]
fn a_lost_piece_costs_the_cluster_it_was_in() {
    let wanted = speech(40);
    let parts = clusters(&wanted, 0, 10);
    let header = webm_header(1, 0);
    let stream = [&header[..], &parts[0], &parts[1][..30], &parts[1][333..], &parts[2], &parts[3]].concat();
    let taken = packets(&read(&stream));
    assert_eq!(datas(&taken[..10]), wanted[..10]);
    assert_eq!(datas(&taken[taken.len() - 20..]), wanted[20..]);
    assert_eq!(taken[taken.len() - 20].timestamp, 20 * 10 * 96);
}

#[test]
fn damage_is_passed_over() {
    let wanted = speech(40);
    let parts = clusters(&wanted, 0, 10);
    let mut broken = parts[1].clone();
    let third = broken.len() / 3;
    broken[third..third + 100].fill(0);
    let stream = [&webm_header(1, 0), &parts[0], &broken, &parts[2], &parts[3]].map(|part| &part[..]).concat();
    let seen = read(&stream);
    let taken = packets(&seen);
    assert_eq!(datas(&taken[taken.len() - 20..]), wanted[20..]);
    let [gap] = &gaps(&seen)[..] else { panic!("one gap: {:?}", gaps(&seen)) };
    assert_eq!(gap.at + gap.bytes, stream.len() as u64 - (parts[2].len() + parts[3].len()) as u64);
}

#[test]
fn frames_that_are_not_opus_are_gaps() {
    let mut stream = [webm_header(1, 0), cluster(0)].concat();
    stream.extend(simple_block(1, 0, &[]));
    stream.extend(simple_block(1, 0, &[0x7B]));
    stream.extend(simple_block(1, 0, &packet(0, 61_441)));
    stream.extend(element(0xA3, &block(1, 0, 0x82, &[9])));
    stream.extend(simple_block(1, 40, &packet(1, 50)));
    let seen = read(&stream);
    assert_eq!(datas(&packets(&seen)), [packet(1, 50)]);
    let reasons: Vec<_> = gaps(&seen).iter().map(|gap| gap.reason).collect();
    let wanted = [
        "a packet is empty",
        "a packet ends before its frame count",
        "a packet of more than 61440 bytes",
        "the lacing of a block is wrong",
    ];
    assert_eq!(reasons, wanted);
}

#[test]
fn what_is_no_webm_at_all_is_given_up_without_being_kept() {
    let mut demuxer = WebmDemuxer::new();
    let piece = vec![0x11; 1 << 20];
    for _ in 0..32 {
        demuxer.push(&piece).unwrap();
        assert_eq!(demuxer.next_event(), Ok(None));
    }
    demuxer.push(&piece).unwrap();
    assert!(demuxer.next_event().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_cut_gives_the_same_events(
        cuts in prop::collection::vec(0.0..1.0, 0..40),
        damage in prop::collection::vec((0.0..1.0, any::<u8>()), 0..4),
        from in 0.0..0.6,
        real in prop::option::of(0_usize..3),
        sizes in prop::collection::vec(1_usize..600, 5..60),
        per_cluster in 1_usize..9,
    ) {
        let sent: Vec<_> = sizes.iter().enumerate().map(|(number, &size)| packet(number as u32, size)).collect();
        let mut stream = match real {
            Some(which) => vector(["chromium-audio.webm", "chromium-video.webm", "firefox-audio.webm"][which]),
            None => [webm_header(1, 312), clusters(&sent, 0, per_cluster).concat(), recorder(&sent[..4])].concat(),
        };
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
        prop_assert_eq!(&events(&mut WebmDemuxer::new(), pieces), &whole);
        prop_assert_eq!(&events(&mut WebmDemuxer::new(), stream.chunks(1)), &whole);
        for packet in packets(&whole) {
            prop_assert!(stream[packet.at as usize..].starts_with(&packet.data));
        }
        let audible: Vec<_> = packets(&whole).iter().map(|packet| packet.timestamp + i64::from(packet.discard_start)).collect();
        prop_assert!(audible.windows(2).all(|pair| pair[0] <= pair[1]));
    }
}
