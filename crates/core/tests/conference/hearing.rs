//! What a listener hears.

use antiphon_core::{
    Error,
    mixer::{Conference, Input, InputFormat, OutputFormat, RoomConfig},
    opus::{Application, Decoder, EncoderConfig, FrameSize},
};

use super::support::{Listeners, TICK, Voice, noise, opus, power, room, speech, tone, tone_level, worst_difference};

const HZ: [f32; 5] = [310.0, 530.0, 790.0, 1_130.0, 1_490.0];

#[test]
fn listeners_hear_the_loudest_three_and_speakers_do_not_hear_themselves() {
    let mut room = room(RoomConfig::default(), 6, opus(64_000));
    let amplitudes = [0.02, 0.2, 0.01, 0.1, 0.15];
    let voices: Vec<_> = HZ
        .iter()
        .zip(amplitudes)
        .map(|(hz, amplitude)| Voice::new(opus(64_000), &tone(*hz, amplitude, 100 * TICK)))
        .collect();
    let mut listeners = Listeners::default();
    for tick in 0..100 {
        let inputs: Vec<_> = voices.iter().enumerate().map(|(n, voice)| (n as u64 + 1, voice.input(tick))).collect();
        room.tick(&inputs).expect("tick");
        listeners.listen(&room, 48_000);
    }
    assert_eq!(room.active().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 5, 4]);
    for (listener, heard) in &listeners.heard {
        for (speaker, hz) in HZ.iter().enumerate() {
            let speaker = speaker as u64 + 1;
            let level = tone_level(&heard[50 * TICK..], *hz, 48_000);
            if [2, 4, 5].contains(&speaker) && speaker != *listener {
                let sent = 20.0 * f64::from(amplitudes[speaker as usize - 1]).log10();
                assert!((level - sent).abs() < 1.5, "{listener} hears {speaker} at {level}, sent at {sent}");
            } else {
                assert!(level < -52.0, "{listener} hears {speaker} at {level}");
            }
        }
    }
}

#[test]
fn somebody_who_has_long_been_quiet_is_heard_from_the_first_word() {
    // The one room decodes everything, for want of levels; the other nothing until the level rises.
    let config = EncoderConfig { sample_rate: 16_000, ..opus(32_000) };
    let pcm = speech("go-forward.wav");
    let started = 5 * 16_000;
    let pcm: Vec<f32> = noise(5, 0.001, started).into_iter().chain(pcm).collect();
    let voice = Voice::new(config, &pcm);
    let room_config = RoomConfig { sample_rate: 16_000, ..RoomConfig::default() };
    let mut lazy = room(room_config.clone(), 2, config);
    let mut eager = room(RoomConfig { threshold: -120.0, ..room_config }, 2, config);
    let (mut by_need, mut always) = (Vec::new(), Vec::new());
    for tick in 0..voice.0.len() {
        lazy.tick(&[(1, voice.input(tick))]).expect("tick");
        eager.tick(&[(1, voice.input(tick))]).expect("tick");
        by_need.extend_from_slice(lazy.shared());
        always.extend_from_slice(eager.shared());
    }
    let first = by_need.iter().position(|x| *x != 0.0).expect("heard");
    assert!(first > started - 640 && lazy.counters().decoded < eager.counters().decoded);
    // All but the fade of 5 ms.
    let from = first + 80;
    let difference = worst_difference(&by_need[from..from + 3_200], &always[from..from + 3_200], 16_000);
    assert!(difference < -15.0, "{difference} dB in the first 200 ms");
    let from = first + 3_200;
    let difference = worst_difference(&by_need[from..from + 8_000], &always[from..from + 8_000], 16_000);
    assert!(difference < -30.0, "{difference} dB after that");
}

#[test]
fn a_decoder_that_starts_late_is_right_after_eight_packets() {
    let celt = EncoderConfig { application: Application::Audio, ..opus(96_000) };
    for config in [opus(24_000), opus(32_000), celt].map(|config| EncoderConfig { sample_rate: 16_000, ..config }) {
        let voice = Voice::new(config, &speech("two-utterances.wav"));
        let decode = |from: usize, to: usize| -> Vec<f32> {
            let mut decoder = Decoder::new(16_000, 1).expect("decoder");
            let mut pcm = vec![0.0; 320];
            voice.0[from..=to].iter().for_each(|(packet, _)| {
                decoder.decode_float(packet, &mut pcm).expect("decoded");
            });
            pcm
        };
        let mut medians = Vec::new();
        for heard in [0, 3, 8] {
            let frames = (20..voice.0.len()).step_by(5).filter(|at| voice.0[*at].1 < 45);
            let mut differences: Vec<f32> = frames
                .map(|at| {
                    let (late, right) = (decode(at - heard, at), decode(0, at));
                    let rest: Vec<f32> = late.iter().zip(&right).map(|(a, b)| a - b).collect();
                    10.0 * (power(&rest).max(1e-12) / power(&right)).log10()
                })
                .collect();
            differences.sort_by(f32::total_cmp);
            medians.push(differences[differences.len() / 2]);
        }
        println!("{} {} b/s, after 0, 3 and 8 packets: {medians:.0?} dB", config.application.name(), config.bitrate);
        assert!(medians[0] > -6.0 && medians[2] < -35.0, "{config:?}: {medians:?}");
    }
}

#[test]
fn every_format_hears_every_format() {
    let mut room = Conference::new(RoomConfig::default()).expect("ok");
    let wideband = EncoderConfig { sample_rate: 16_000, ..opus(32_000) };
    let inputs = [
        InputFormat::Opus,
        InputFormat::Pcmu,
        InputFormat::Pcma,
        InputFormat::Pcm16 { sample_rate: 24_000, channels: 2 },
    ];
    let outputs = [
        OutputFormat::Opus(wideband),
        OutputFormat::Pcmu,
        OutputFormat::Pcma,
        OutputFormat::Pcm16 { sample_rate: 16_000, channels: 2 },
    ];
    for (id, (input, output)) in inputs.into_iter().zip(outputs).enumerate() {
        room.add(id as u64, input, Some(output)).expect("room");
        // Hears the very same, through the shared stream.
        room.add(id as u64 + 10, input, Some(output)).expect("room");
    }
    for (speaker, hz) in HZ[..4].iter().enumerate() {
        let pcm = tone(*hz, 0.2, 60 * TICK);
        let opus = Voice::new(opus(64_000), &pcm);
        let narrow: Vec<i16> = pcm.iter().step_by(6).map(|x| (x * 32_767.0) as i16).collect();
        let stereo: Vec<u8> =
            pcm.iter().step_by(2).flat_map(|x| [(x * 32_767.0) as i16; 2]).flat_map(i16::to_le_bytes).collect();
        let law = |law: antiphon_core::g711::Law| -> Vec<u8> { narrow.iter().map(|x| law.encode_sample(*x)).collect() };
        let (mu, a) = (law(antiphon_core::g711::Law::Mu), law(antiphon_core::g711::Law::A));
        let mut heard = vec![Vec::new(); 8];
        let mut decoder = antiphon_core::opus::Decoder::new(8_000, 1).expect("decoder");
        for tick in 0..60 {
            let payload = match speaker {
                0 => &opus.0[tick].0[..],
                1 => &mu[tick * 160..][..160],
                2 => &a[tick * 160..][..160],
                _ => &stereo[tick * 1920..][..1920],
            };
            room.tick(&[(speaker as u64, Input::packet(payload))]).expect("tick");
            for packet in room.packets().filter(|packet| packet.id >= 10) {
                let pcm = &mut heard[packet.id as usize - 10];
                match packet.id {
                    10 => {
                        let start = pcm.len();
                        pcm.resize(start + 160, 0.0);
                        decoder.decode_float(packet.payload, &mut pcm[start..]).expect("decoded");
                    }
                    11 => pcm.extend(
                        packet
                            .payload
                            .iter()
                            .map(|byte| f32::from(antiphon_core::g711::Law::Mu.decode_sample(*byte)) / 32_768.0),
                    ),
                    12 => pcm.extend(
                        packet
                            .payload
                            .iter()
                            .map(|byte| f32::from(antiphon_core::g711::Law::A.decode_sample(*byte)) / 32_768.0),
                    ),
                    _ => pcm.extend(
                        packet
                            .payload
                            .chunks_exact(8)
                            .map(|frame| f32::from(i16::from_le_bytes([frame[0], frame[1]])) / 32_768.0),
                    ),
                }
            }
        }
        for (listener, heard) in heard[..4].iter().enumerate() {
            let level = tone_level(&heard[heard.len() / 2..], *hz, 8_000);
            assert!((level + 14.0).abs() < 1.0, "{listener} hears {speaker} at {level} dB");
        }
        // Until the next one speaks alone.
        for _ in 0..60 {
            room.tick(&[]).expect("tick");
        }
    }
}

#[test]
fn packets_longer_and_shorter_than_a_tick_are_heard_whole() {
    for (frame, tick_ms) in [
        (FrameSize::Ms10, 20),
        (FrameSize::Ms60, 20),
        (FrameSize::Ms20, 10),
        (FrameSize::Ms60, 10),
        (FrameSize::Ms2_5, 10),
    ] {
        let config = EncoderConfig { frame, ..opus(64_000) };
        let voice = Voice::new(config, &tone(440.0, 0.3, 96_000));
        let mut room = Conference::new(RoomConfig { tick_ms, ..RoomConfig::default() }).expect("ok");
        room.add(1, InputFormat::Opus, None).expect("room");
        let (mut heard, mut sent) = (Vec::new(), 0);
        for tick in 0..90 * 20 / tick_ms {
            let mut inputs = Vec::new();
            while sent < voice.0.len() && sent as f64 * frame.millis() < f64::from((tick + 1) * tick_ms) {
                inputs.push((1, voice.input(sent)));
                sent += 1;
            }
            room.tick(&inputs).expect("tick");
            heard.extend_from_slice(room.shared());
        }
        let level = tone_level(&heard[24_000..72_000], 440.0, 48_000);
        let rest = 10.0 * (power(&heard[24_000..72_000]) / 0.045).log10();
        assert!((level + 10.46).abs() < 0.3 && rest.abs() < 0.3, "{frame:?} in {tick_ms} ms: {level} dB, {rest} dB");
        assert_eq!(room.counters().concealed, 0, "{frame:?} in {tick_ms} ms");
    }
}

#[test]
fn a_lost_packet_is_concealed_and_one_who_vanishes_fades_out() {
    let voice = Voice::new(opus(64_000), &tone(440.0, 0.3, 100 * TICK));
    let mut room = room(RoomConfig::default(), 2, opus(64_000));
    let mut heard = Vec::new();
    for tick in 0..100 {
        match tick {
            70.. => room.tick(&[]),
            20 | 40 => room.tick(&[(1, Input::Lost)]),
            30 => room.tick(&[(1, Input::Recover { next: &voice.0[31].0 })]),
            _ => room.tick(&[(1, voice.input(tick))]),
        }
        .expect("tick");
        heard.extend_from_slice(room.shared());
    }
    for tick in [20, 30, 40] {
        assert!(power(&heard[tick * TICK..(tick + 1) * TICK]) > 0.01, "a hole in tick {tick}");
    }
    assert!(heard[78 * TICK..].iter().all(|x| *x == 0.0));
    let step = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    // The tone itself moves by 0.017 a sample at most.
    assert!(step < 0.05, "a step of {step}");
    assert!(room.active().is_empty());
}

#[test]
fn what_cannot_be_decoded_is_counted_and_hurts_nobody() {
    let voice = Voice::new(opus(64_000), &tone(440.0, 0.3, 100 * TICK));
    let mut room = room(RoomConfig::default(), 3, opus(64_000));
    // Three frames, said to be of equal length, in two bytes.
    let broken = [0xFB, 0x03, 1, 2];
    for tick in 0..50 {
        let inputs = [(1, voice.input(tick)), (2, Input::packet(&broken)), (3, Input::packet(&[]))];
        room.tick(&inputs).expect("tick");
    }
    assert_eq!(room.counters().malformed, 100);
    assert!((tone_level(room.shared(), 440.0, 48_000) + 10.46).abs() < 1.0);
    assert!(matches!(room.tick(&[(9, Input::Lost)]), Err(Error::Unsupported(_))));
    assert!(matches!(room.tick(&[(1, Input::Pcm(&[0.0; 7]))]), Err(Error::Unsupported(_))));
}

#[test]
fn wrong_formats_are_refused_with_the_right_ones() {
    let mut room = Conference::new(RoomConfig::default()).expect("ok");
    let refused = |output| Conference::new(RoomConfig::default()).expect("ok").add(1, InputFormat::Opus, Some(output));
    let short = refused(OutputFormat::Opus(EncoderConfig { frame: FrameSize::Ms10, ..opus(32_000) }));
    assert!(short.expect_err("too short").to_string().contains("20 ms"));
    let rate = refused(OutputFormat::Pcm16 { sample_rate: 44_100, channels: 1 });
    assert!(rate.expect_err("rate").to_string().contains("16000"));
    assert!(room.add(1, InputFormat::Pcm16 { sample_rate: 8_000, channels: 3 }, None).is_err());
    assert!(room.is_empty());
}
