//! The reader of packets against libopus' own, and the decoder on what is no packet at all.

use std::ffi::c_int;
use std::ptr;

use antiphon_core::Error;
use antiphon_core::opus::{Bandwidth, Decoder, Dred, PacketInfo, SAMPLE_RATES, has_fec, packet_samples};
use opusic_sys as sys;
use proptest::prelude::*;

/// Frames in a packet as libopus sees it, or what it answers.
fn libopus_frames(packet: &[u8]) -> c_int {
    let (mut frames, mut sizes) = ([ptr::null(); 48], [0_i16; 48]);
    // SAFETY: the packet is readable for its length, and both arrays have the 48 places that libopus may fill.
    unsafe {
        sys::opus_packet_parse(
            packet.as_ptr(),
            packet.len() as c_int,
            ptr::null_mut(),
            frames.as_mut_ptr(),
            sizes.as_mut_ptr(),
            ptr::null_mut(),
        )
    }
}

fn agrees_with_libopus(packet: &[u8]) {
    let frames = libopus_frames(packet);
    match PacketInfo::parse(packet) {
        Err(Error::Malformed { at, .. }) => {
            assert!(frames < 0, "{packet:?}");
            assert!(at <= packet.len() as u64);
        }
        Err(other) => panic!("{other:?}"),
        Ok(info) => {
            assert_eq!(c_int::from(info.frames), frames, "{packet:?}");
            let length = packet.len() as c_int;
            // SAFETY: the packet is readable for its length, which is not 0.
            let (bandwidth, channels, redundancy) = unsafe {
                (
                    sys::opus_packet_get_bandwidth(packet.as_ptr()),
                    sys::opus_packet_get_nb_channels(packet.as_ptr()),
                    sys::opus_packet_has_lbrr(packet.as_ptr(), length),
                )
            };
            let expected = match info.bandwidth {
                Bandwidth::Narrow => sys::OPUS_BANDWIDTH_NARROWBAND,
                Bandwidth::Medium => sys::OPUS_BANDWIDTH_MEDIUMBAND,
                Bandwidth::Wide => sys::OPUS_BANDWIDTH_WIDEBAND,
                Bandwidth::SuperWide => sys::OPUS_BANDWIDTH_SUPERWIDEBAND,
                Bandwidth::Full => sys::OPUS_BANDWIDTH_FULLBAND,
            };
            assert_eq!((bandwidth, channels), (expected, c_int::from(info.channels)));
            assert_eq!(has_fec(packet), redundancy == 1, "{packet:?}");
            for rate in SAMPLE_RATES {
                // SAFETY: as above.
                let samples = unsafe { sys::opus_packet_get_nb_samples(packet.as_ptr(), length, rate as c_int) };
                assert_eq!(packet_samples(packet, rate).map(|samples| samples as c_int), Ok(samples));
            }
        }
    }
}

/// Bytes that look like a packet often enough: any table of contents, lengths that may or may not fit, and so on.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![any::<u8>(), (0_u8..4).prop_map(|frames| 0xC0 | frames), 1_u8..8];
    (any::<u8>(), header, proptest::collection::vec(prop_oneof![any::<u8>(), 0_u8..20, Just(255)], 0..60))
        .prop_map(|(toc, header, rest)| [vec![toc, header], rest].concat())
}

#[test]
fn every_short_packet_is_read_as_libopus_reads_it() {
    for toc in 0..=255 {
        agrees_with_libopus(&[toc]);
        for second in 0..=255 {
            agrees_with_libopus(&[toc, second]);
            agrees_with_libopus(&[toc, second, 0]);
            agrees_with_libopus(&[toc, second, 2, 200, 100, 50]);
        }
    }
}

#[test]
fn frames_of_the_greatest_length_are_taken_and_longer_ones_refused() {
    for (toc, most) in [(0x08, 1 + 1_275), (0x09, 1 + 2 * 1_275)] {
        agrees_with_libopus(&vec![toc; most]);
        assert!(PacketInfo::parse(&vec![toc; most]).is_ok());
        for extra in [1, 2] {
            agrees_with_libopus(&vec![toc; most + extra]);
            assert!(PacketInfo::parse(&vec![toc; most + extra]).is_err());
        }
    }
    for length in 1_270..1_290 {
        agrees_with_libopus(&[vec![0x0A, 255, 255], vec![0; 1_275 + length]].concat());
        agrees_with_libopus(&[vec![0x0B, 0x82, 3], vec![0; 3 + length]].concat());
    }
}

#[test]
fn errors_name_the_byte_that_breaks_the_rule() {
    for (packet, byte) in [
        (&[][..], 0),
        (&[0x01, 1, 2, 3], 0),
        (&[0x02], 1),
        (&[0x02, 252], 2),
        (&[0x02, 9, 1], 2),
        (&[0x03], 1),
        (&[0x03, 0x00, 1], 1),
        (&[0x03, 0x0D, 1], 1),
        (&[0x03, 0x02, 1, 2, 3], 1),
        (&[0x03, 0x41, 255], 3),
        (&[0x03, 0x41, 9, 1], 3),
        (&[0x03, 0x83, 1], 3),
        (&[0x03, 0x82, 9, 1], 3),
    ] {
        agrees_with_libopus_or_is_empty(packet);
        match PacketInfo::parse(packet) {
            Err(Error::Malformed { at, what }) => assert_eq!(at, byte, "{packet:?}: {what}"),
            other => panic!("{packet:?}: {other:?}"),
        }
    }
}

fn agrees_with_libopus_or_is_empty(packet: &[u8]) {
    if !packet.is_empty() {
        agrees_with_libopus(packet);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_packet_is_read_as_libopus_reads_it(packet in packets()) {
        agrees_with_libopus(&packet);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_upset_the_decoder(
        stream in proptest::collection::vec((packets(), 0_u8..4, 1_usize..60), 1..12),
        rate in proptest::sample::select(&SAMPLE_RATES[..]),
        channels in 1_u8..=2,
        complexity in 0_u8..=10,
    ) {
        let mut decoder = Decoder::new(rate, channels).expect("good values");
        decoder.set_complexity(complexity).expect("a good complexity");
        let mut dred = Dred::new().expect("it is built in");
        let step = rate as usize / 400 * usize::from(channels);
        let mut out = vec![0.0; 60 * step];
        let mut int = vec![0; 60 * step];
        for (packet, action, steps) in stream {
            let lost = steps * step;
            match action {
                0 => decoder.conceal_float(&mut out[..lost]).expect("a multiple of 2.5 ms"),
                1 => decoder.recover(&packet, &mut int[..lost]).expect("it falls back"),
                2 => {
                    let reach = dred.parse(&packet, rate, 48_000).unwrap_or(0);
                    decoder.recover_dred_float(&dred, reach + steps, &mut out[..lost]).expect("it falls back");
                }
                _ => {}
            }
            match decoder.decode_float(&packet, &mut out) {
                Ok(samples) => prop_assert_eq!(Ok(samples), packet_samples(&packet, rate)),
                Err(error) => prop_assert!(matches!(error, Error::Malformed { .. }), "{:?}", error),
            }
            prop_assert!(out.iter().all(|sample| sample.is_finite()));
        }
    }
}
