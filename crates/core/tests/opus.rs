//! What the Opus encoder and decoder do to speech.

use std::path::Path;

use antiphon_core::Error;
use antiphon_core::opus::{
    Application, Decoder, Dred, Encoder, EncoderConfig, FrameSize, MAX_PACKET_BYTES, Mode, PacketInfo, SAMPLE_RATES,
    SoftClip, has_fec, packet_samples,
};

/// Speech, mono at 16 kHz.
fn speech(name: &str) -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/speech").join(name);
    let bytes = std::fs::read(path).expect("the speech of the tests is there");
    bytes[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn float(pcm: &[i16]) -> Vec<f32> {
    pcm.iter().map(|&sample| f32::from(sample) / 32_768.0).collect()
}

/// Wide-band speech that FEC and DRED have room for.
fn voice() -> EncoderConfig {
    EncoderConfig {
        sample_rate: 16_000,
        bitrate: 32_000,
        complexity: 5,
        dtx: false,
        expected_loss: 20,
        ..EncoderConfig::default()
    }
}

fn encode(config: &EncoderConfig, pcm: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(config).expect("a good configuration");
    let frame = config.frame_samples() * usize::from(config.channels);
    let mut out = [0; MAX_PACKET_BYTES];
    pcm.chunks_exact(frame)
        .map(|frame| {
            let length = encoder.encode(frame, &mut out).expect("a whole frame");
            out[..length].to_vec()
        })
        .collect()
}

/// Decibels of `heard` above its difference from `wanted`, at the best shift of up to `most` samples.
fn fidelity(wanted: &[i16], heard: &[i16], most: usize) -> f64 {
    let energy: f64 = wanted.iter().map(|&x| f64::from(x).powi(2)).sum();
    (0..most)
        .map(|shift| {
            let error: f64 =
                wanted.iter().zip(&heard[shift..]).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum();
            10.0 * (energy / error).log10()
        })
        .fold(f64::MIN, f64::max)
}

fn refused(result: Result<impl Sized, Error>) -> String {
    match result {
        Err(Error::Unsupported(message)) => message,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was accepted"),
    }
}

#[test]
fn speech_survives_at_every_rate_and_frame_size() {
    let pcm = speech("go-forward.wav");
    for frame in FrameSize::ALL {
        for rate in SAMPLE_RATES {
            let config = EncoderConfig { frame, ..EncoderConfig::default() };
            let config = EncoderConfig { sample_rate: 16_000, bitrate: 64_000, fec: false, ..config };
            let packets = encode(&config, &pcm);
            let mut decoder = Decoder::new(rate, 1).expect("a good rate");
            let mut heard = 0;
            for packet in &packets {
                assert_eq!(packet_samples(packet, rate), Ok(frame.samples(rate)));
                let mut out = vec![0.0; frame.samples(rate)];
                assert_eq!(decoder.decode_float(packet, &mut out), Ok(out.len()));
                heard += out.len();
            }
            assert_eq!(heard, packets.len() * frame.samples(rate));
        }
    }
}

#[test]
fn what_is_heard_is_what_was_said() {
    let pcm = speech("go-forward.wav");
    let config = EncoderConfig { sample_rate: 16_000, application: Application::Audio, ..EncoderConfig::default() };
    let mut decoder = Decoder::new(16_000, 1).expect("a good rate");
    let mut heard = Vec::new();
    for packet in encode(&config, &pcm) {
        let mut out = [0; 320];
        decoder.decode(&packet, &mut out).expect("a good packet");
        heard.extend(out);
    }
    heard.extend([0; 400]);
    let wanted = &pcm[..pcm.len() / 320 * 320 - 400];
    assert!(fidelity(wanted, &heard, 400) > 15.0, "{}", fidelity(wanted, &heard, 400));
}

#[test]
fn a_clone_goes_on_as_the_original_does() {
    let pcm = float(&speech("go-forward.wav"));
    for dred_ms in [0, 500] {
        for application in Application::ALL {
            let config = EncoderConfig { application, dred_ms, bitrate: 48_000, ..voice() };
            let mut encoder = Encoder::new(&config).expect("a good configuration");
            let (mut ours, mut theirs) = ([0; MAX_PACKET_BYTES], [0; MAX_PACKET_BYTES]);
            for frame in pcm[..16_000].chunks_exact(320) {
                encoder.encode_float(frame, &mut ours).expect("a whole frame");
            }
            let mut other = Encoder::new(&EncoderConfig::default()).expect("a good configuration");
            other.clone_from(&encoder);
            let mut clone = encoder.clone();
            for frame in pcm[16_000..].chunks_exact(320) {
                let length = encoder.encode_float(frame, &mut ours).expect("a whole frame");
                for copy in [&mut clone, &mut other] {
                    assert_eq!(copy.encode_float(frame, &mut theirs), Ok(length));
                    assert_eq!(ours[..length], theirs[..length]);
                    assert_eq!(copy.final_range(), encoder.final_range());
                }
            }
            drop(encoder);
            clone.encode_float(&pcm[..320], &mut theirs).expect("it stands on its own");
        }
    }
}

#[test]
fn a_clone_is_not_tied_to_the_original() {
    let pcm = float(&speech("go-forward.wav"));
    let mut encoder = Encoder::new(&EncoderConfig { dred_ms: 200, ..voice() }).expect("a good configuration");
    let mut out = [0; MAX_PACKET_BYTES];
    encoder.encode_float(&pcm[..320], &mut out).expect("a whole frame");
    let (mut alone, mut beside) = (encoder.clone(), encoder.clone());
    let mut expected = Vec::new();
    for frame in pcm.chunks_exact(320) {
        let length = alone.encode_float(frame, &mut out).expect("a whole frame");
        expected.push(out[..length].to_vec());
    }
    for (index, frame) in pcm.chunks_exact(320).enumerate() {
        encoder.encode_float(&pcm[8_000..8_320], &mut out).expect("a whole frame");
        let length = beside.encode_float(frame, &mut out).expect("a whole frame");
        assert_eq!(out[..length], expected[index]);
    }
}

#[test]
fn fec_brings_back_what_was_lost_better_than_concealment() {
    let pcm = speech("go-forward.wav");
    let packets = encode(&voice(), &pcm);
    let lost = 40;
    assert!(has_fec(&packets[lost + 1]));
    let play = |how: &dyn Fn(&mut Decoder, &mut [i16])| {
        let mut decoder = Decoder::new(16_000, 1).expect("a good rate");
        let mut out = [0; 320];
        for packet in &packets[..lost] {
            decoder.decode(packet, &mut out).expect("a good packet");
        }
        how(&mut decoder, &mut out);
        out
    };
    let truth = play(&|decoder, out| assert_eq!(decoder.decode(&packets[lost], out), Ok(320)));
    let recovered = play(&|decoder, out| decoder.recover(&packets[lost + 1], out).expect("it is recovered"));
    let concealed = play(&|decoder, out| decoder.conceal(out).expect("it is concealed"));
    let without = play(&|decoder, out| decoder.recover(&[0xff; 9], out).expect("it falls back"));
    assert_eq!(without, concealed);
    assert!(fidelity(&truth, &recovered, 1) > fidelity(&truth, &concealed, 1) + 3.0);
}

#[test]
fn recovery_of_more_than_one_frame_conceals_the_rest() {
    let packets = encode(&voice(), &speech("go-forward.wav"));
    let mut decoder = Decoder::new(16_000, 1).expect("a good rate");
    let mut out = [0; 960];
    for packet in &packets[..40] {
        decoder.decode(packet, &mut out).expect("a good packet");
    }
    decoder.recover(&packets[43], &mut out).expect("three frames");
    assert!(out.iter().any(|&sample| sample.unsigned_abs() > 200));
}

#[test]
fn restricted_low_delay_and_short_frames_carry_no_fec() {
    let pcm = speech("go-forward.wav");
    let low_delay = EncoderConfig { application: Application::RestrictedLowDelay, ..voice() };
    let short = EncoderConfig { frame: FrameSize::Ms5, ..voice() };
    for config in [low_delay, short, EncoderConfig::voice_low_latency()] {
        let mut encoder = Encoder::new(&config).expect("it is accepted");
        assert!(config.fec && !encoder.fec());
        encoder.set_fec(true).expect("it is accepted");
        assert!(!encoder.fec());
        for packet in encode(&config, &pcm) {
            let info = PacketInfo::parse(&packet).expect("our own packet");
            assert_eq!((info.mode, info.fec), (Mode::Celt, false));
        }
    }
    assert!(Encoder::new(&voice()).expect("it is accepted").fec());
}

#[test]
fn concealing_before_anything_was_decoded_is_silence() {
    let mut decoder = Decoder::new(48_000, 2).expect("a good rate");
    let mut out = [1.0; 1_920];
    decoder.conceal_float(&mut out).expect("a multiple of 2.5 ms");
    assert!(out.iter().all(|&sample| sample == 0.0));
}

#[test]
fn wrong_sizes_are_refused_with_the_right_ones() {
    let mut encoder = Encoder::new(&EncoderConfig::default()).expect("the default");
    let mut out = [0; MAX_PACKET_BYTES];
    let message = refused(encoder.encode(&[0; 959], &mut out));
    assert!(message.contains("960") && message.contains("2880 for 60 ms"), "{message}");
    let message = refused(encoder.encode(&[0; 960], &mut []));
    assert!(message.contains("at least 4 bytes"), "{message}");
    let mut decoder = Decoder::new(16_000, 2).expect("a good rate");
    let message = refused(decoder.conceal(&mut [0; 79]));
    assert!(message.contains("multiple of 2.5 ms, 80 samples"), "{message}");
    let packet = &encode(&voice(), &speech("go-forward.wav")[..320])[0];
    let message = refused(decoder.decode(packet, &mut [0; 639]));
    assert!(message.contains("640 in all"), "{message}");
}

#[test]
fn wrong_settings_are_refused_with_the_right_ones() {
    let good = EncoderConfig::default();
    for (config, expected) in [
        (EncoderConfig { sample_rate: 44_100, ..good }, "8000, 12000, 16000, 24000, 48000"),
        (EncoderConfig { channels: 3, ..good }, "1 or 2"),
        (EncoderConfig { channels: 0, ..good }, "1 or 2"),
        (EncoderConfig { bitrate: 5_999, ..good }, "6000 to 510000"),
        (EncoderConfig { bitrate: u32::MAX, ..good }, "6000 to 510000"),
        (EncoderConfig { complexity: 11, ..good }, "0 to 10"),
        (EncoderConfig { expected_loss: 101, ..good }, "0 to 100"),
        (EncoderConfig { dred_ms: 1_050, ..good }, "0 to 1040"),
        (EncoderConfig { dred_ms: 15, ..good }, "multiple of 10"),
    ] {
        let message = refused(Encoder::new(&config));
        assert!(message.contains(expected), "{message}");
    }
    assert!(refused("phone".parse::<Application>()).contains("voip, audio, restricted_lowdelay"));
    assert!(refused(FrameSize::from_millis(30.0)).contains("2.5, 5, 10, 20, 40 or 60"));
    assert!(refused(EncoderConfig::preset("best")).contains("voice_high_quality, voice_low_latency"));
    assert!(refused(Decoder::new(44_100, 1)).contains("48000"));
    assert!(refused(Decoder::new(48_000, 3)).contains("1 or 2"));
    assert!(refused(packet_samples(&[0], 44_100)).contains("48000"));
}

#[test]
fn dred_brings_back_what_was_lost_long_before() {
    let pcm = speech("quick-brown-fox.wav");
    let config = EncoderConfig { dred_ms: 400, bitrate: 40_000, fec: false, ..voice() };
    let packets = encode(&config, &pcm);
    let (first, lost) = (60, 10);
    let mut dred = Dred::new().expect("it is built in");
    let reach = dred.parse(&packets[first + lost], 16_000, lost * 320).expect("our own packet");
    assert!(reach >= lost * 320, "{reach}");
    let play = |how: &mut dyn FnMut(&mut Decoder, usize, &mut [i16])| {
        let mut decoder = Decoder::new(16_000, 1).expect("a good rate");
        let mut out = [0; 320];
        for packet in &packets[..first] {
            decoder.decode(packet, &mut out).expect("a good packet");
        }
        let mut heard = Vec::new();
        for index in 0..lost {
            how(&mut decoder, index, &mut out);
            heard.extend(out);
        }
        heard
    };
    let truth = play(&mut |decoder, index, out| assert_eq!(decoder.decode(&packets[first + index], out), Ok(320)));
    let recovered = play(&mut |decoder, index, out| {
        decoder.recover_dred(&dred, (lost - index) * 320, out).expect("it is recovered");
    });
    let concealed = play(&mut |decoder, _, out| decoder.conceal(out).expect("it is concealed"));
    // Only features are sent, so the wave differs; the loudness of each 20 ms tells whether the words are there.
    let contour = |pcm: &[i16]| -> Vec<f64> {
        let energy = |block: &[i16]| block.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 320.0;
        pcm.chunks_exact(320).map(|block| 10.0 * (energy(block) + 1.0).log10()).collect()
    };
    let distance = |heard: &[i16]| -> f64 {
        contour(&truth).iter().zip(contour(heard)).map(|(a, b)| (a - b).abs()).sum::<f64>() / lost as f64
    };
    assert!(distance(&recovered) < 6.0, "{}", distance(&recovered));
    assert!(distance(&concealed) > 2.0 * distance(&recovered), "{}", distance(&concealed));
}

#[test]
fn dred_is_found_only_where_it_was_put() {
    let pcm = speech("go-forward.wav");
    let mut dred = Dred::new().expect("it is built in");
    for packet in encode(&voice(), &pcm) {
        assert_eq!(dred.parse(&packet, 48_000, 48_000), Ok(0));
    }
    let packets = encode(&EncoderConfig { dred_ms: 200, ..voice() }, &pcm);
    assert!(packets.iter().filter(|packet| dred.parse(packet, 48_000, 48_000).expect("our own") > 0).count() > 50);
    assert!(matches!(dred.parse(&[], 48_000, 960), Err(Error::Malformed { at: 0, .. })));
    assert_eq!((dred.reach(), dred.gap()), (0, 0));
    refused(dred.parse(&packets[50], 44_100, 960));
}

#[test]
fn dred_works_with_every_application_frame_and_rate() {
    let pcm = &speech("go-forward.wav")[16_000..];
    let mut dred = Dred::new().expect("it is built in");
    for sample_rate in [8_000, 16_000, 48_000] {
        for (channels, application) in [1, 2].into_iter().flat_map(|n| Application::ALL.map(|what| (n, what))) {
            for frame in FrameSize::ALL {
                let config = EncoderConfig { sample_rate, channels, application, frame, ..voice() };
                let config = EncoderConfig { bitrate: 96_000, dred_ms: 1_040, ..config };
                let second: Vec<_> =
                    pcm.iter().cycle().copied().take(sample_rate as usize * usize::from(channels)).collect();
                let reach = encode(&config, &second)
                    .iter()
                    .map(|packet| dred.parse(packet, sample_rate, usize::MAX).expect("our own packet"))
                    .max();
                assert!(reach > Some(frame.samples(sample_rate)), "{reach:?} {config:?}");
            }
        }
    }
}

#[test]
fn silence_is_not_sent_with_dtx() {
    let mut encoder = Encoder::new(&EncoderConfig { dtx: true, ..voice() }).expect("a good configuration");
    let mut out = [0; MAX_PACKET_BYTES];
    for frame in speech("go-forward.wav").chunks_exact(320).take(60) {
        encoder.encode(frame, &mut out).expect("a whole frame");
    }
    assert!(!encoder.in_dtx());
    let lengths: Vec<_> = (0..50).map(|_| encoder.encode(&[0; 320], &mut out).expect("a whole frame")).collect();
    assert!(lengths.iter().filter(|&&length| length <= 2).count() > 25, "{lengths:?}");
    assert!(encoder.in_dtx());
    encoder.set_dtx(false).expect("it is a setting");
    assert!(encoder.encode(&[0; 320], &mut out).expect("a whole frame") > 2);
    assert!(!encoder.in_dtx());
}

#[test]
fn the_bitrate_follows_the_setting_while_it_runs() {
    let pcm = speech("quick-brown-fox.wav");
    let config = EncoderConfig { vbr: false, fec: false, expected_loss: 0, ..voice() };
    let mut encoder = Encoder::new(&config).expect("a good configuration");
    let mut out = [0; MAX_PACKET_BYTES];
    for bitrate in [16_000, 64_000, 24_000, 128_000] {
        encoder.set_bitrate(bitrate).expect("a good rate");
        assert_eq!(encoder.config().bitrate, bitrate);
        assert_eq!(encoder.encode(&pcm[..320], &mut out), Ok(bitrate as usize / 8 / 50));
    }
    refused(encoder.set_bitrate(1));
    assert_eq!(encoder.config().bitrate, 128_000);
}

#[test]
fn settings_change_while_it_runs() {
    let pcm = speech("quick-brown-fox.wav");
    let mut encoder = Encoder::new(&EncoderConfig { fec: false, ..voice() }).expect("a good configuration");
    let run = |encoder: &mut Encoder| -> usize {
        let samples = encoder.frame_samples();
        let mut out = [0; MAX_PACKET_BYTES];
        let mut with_fec = 0;
        for frame in pcm[16_000..48_000].chunks_exact(samples) {
            let length = encoder.encode(frame, &mut out).expect("a whole frame");
            assert_eq!(packet_samples(&out[..length], 16_000), Ok(samples));
            with_fec += usize::from(has_fec(&out[..length]));
        }
        with_fec
    };
    assert_eq!(run(&mut encoder), 0);
    encoder.set_fec(true).expect("it is a setting");
    assert!(run(&mut encoder) > 50);
    encoder.set_expected_loss(0).expect("it is a setting");
    run(&mut encoder);
    assert_eq!(run(&mut encoder), 0);
    encoder.set_expected_loss(30).expect("it is a setting");
    encoder.set_complexity(0).expect("it is a setting");
    encoder.set_frame(FrameSize::Ms60).expect("it is a setting");
    assert!(run(&mut encoder) > 15);
    for wrong in [encoder.set_complexity(11), encoder.set_expected_loss(101), encoder.set_dred_ms(7)] {
        refused(wrong);
    }
}

#[test]
fn samples_that_are_no_numbers_become_silence_and_do_no_lasting_harm() {
    let pcm = float(&speech("go-forward.wav"));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
        for channels in [1, 2] {
            let config = EncoderConfig { channels, dred_ms: 100, bitrate: 64_000, complexity: 10, ..voice() };
            let mut encoder = Encoder::new(&config).expect("a good configuration");
            let mut decoder = Decoder::new(16_000, channels).expect("a good rate");
            let (mut packet, mut out) = ([0; MAX_PACKET_BYTES], [0.0; 640]);
            let mut loudest = Vec::new();
            for (index, frame) in pcm.chunks_exact(320 * usize::from(channels)).enumerate() {
                let mut frame = frame.to_vec();
                if index % 16 == 8 {
                    frame[17] = bad;
                }
                let length = encoder.encode_float(&frame, &mut packet).expect("a whole frame");
                let samples = decoder.decode_float(&packet[..length], &mut out).expect("our own packet");
                let heard = &out[..samples * usize::from(channels)];
                assert!(heard.iter().all(|sample| sample.abs() < 4.0), "{bad} in frame {index}");
                loudest.push(heard.iter().fold(0.0_f32, |most, sample| most.max(sample.abs())));
            }
            assert!(loudest.iter().filter(|&&peak| peak > 0.05).count() > loudest.len() / 4);
        }
    }
}

#[test]
fn sixteen_bits_are_clipped_softly() {
    let config = EncoderConfig { application: Application::Audio, fec: false, dtx: false, ..EncoderConfig::default() };
    let mut encoder = Encoder::new(&config).expect("a good configuration");
    let mut float_decoder = Decoder::new(48_000, 1).expect("a good rate");
    let mut int_decoder = Decoder::new(48_000, 1).expect("a good rate");
    let mut clip = SoftClip::new(1).expect("one channel");
    let (mut packet, mut float, mut int, mut ours) = ([0; MAX_PACKET_BYTES], [0.0; 960], [0; 960], [0; 960]);
    let (mut beyond, mut at_the_end) = (0, 0);
    for number in 0..25 {
        let tone: Vec<f32> = (0..960).map(|n| 1.4 * ((number * 960 + n) as f32 * 0.03).sin()).collect();
        let length = encoder.encode_float(&tone, &mut packet).expect("a whole frame");
        float_decoder.decode_float(&packet[..length], &mut float).expect("our own packet");
        int_decoder.decode(&packet[..length], &mut int).expect("our own packet");
        beyond += float.iter().filter(|sample| sample.abs() > 1.0).count();
        clip.clip_to_int16(&mut float, &mut ours).expect("equal lengths");
        at_the_end += int.iter().filter(|sample| **sample == i16::MAX || **sample == i16::MIN).count();
        assert!(int.iter().zip(&ours).all(|(&a, &b)| a == b), "frame {number}");
    }
    // What is cut off would stay at the end of the range for all of them.
    assert!(beyond > 1_000 && at_the_end < beyond / 4, "{beyond} {at_the_end}");
}

#[test]
fn soft_clipping_leaves_alone_what_is_in_range() {
    let pcm = float(&speech("go-forward.wav"));
    let mut clip = SoftClip::new(2).expect("two channels");
    let mut same = pcm[..32_000].to_vec();
    clip.clip(&mut same).expect("whole samples");
    assert_eq!(same, pcm[..32_000]);
    let mut wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 7.0];
    clip.clip(&mut wild).expect("whole samples");
    assert!(wild.iter().all(|sample| sample.abs() <= 1.0), "{wild:?}");
    refused(clip.clip(&mut [0.0; 3]));
    refused(clip.clip_to_int16(&mut [0.0; 4], &mut [0; 2]));
    refused(SoftClip::new(0));
}

#[test]
fn encoder_and_decoder_end_every_packet_in_the_same_state() {
    let pcm = speech("go-forward.wav");
    for preset in EncoderConfig::PRESETS {
        let config = EncoderConfig { dtx: false, ..EncoderConfig::preset(preset).expect("a preset") };
        let mut encoder = Encoder::new(&config).expect("a preset");
        let mut decoder = Decoder::new(48_000, 1).expect("a good rate");
        let (mut packet, mut out) = ([0; MAX_PACKET_BYTES], [0; 2_880]);
        for frame in pcm.chunks_exact(config.frame_samples()).take(100) {
            let length = encoder.encode(frame, &mut packet).expect("a whole frame");
            decoder.decode(&packet[..length], &mut out).expect("our own packet");
            assert_eq!(encoder.final_range(), decoder.final_range());
        }
    }
}

#[test]
fn the_decoders_complexity_decides_how_it_conceals() {
    let packets = encode(&voice(), &speech("quick-brown-fox.wav"));
    let play = |complexity: u8| {
        let mut decoder = Decoder::new(16_000, 1).expect("a good rate");
        decoder.set_complexity(complexity).expect("a good complexity");
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        let mut out = [0; 320];
        for (index, packet) in packets.iter().enumerate() {
            if index % 10 == 9 && index > 20 {
                decoder.conceal(&mut out).expect("a whole frame");
                bad.extend(out);
            } else {
                decoder.decode(packet, &mut out).expect("a good packet");
                if index < 29 {
                    good.extend(out);
                }
            }
        }
        (good, bad)
    };
    let (classic, deep, enhanced) = (play(0), play(5), play(7));
    assert_eq!(play(4), classic);
    assert_eq!(deep.0, classic.0);
    assert_ne!(deep.1, classic.1);
    assert_ne!(enhanced.0, classic.0);
    refused(Decoder::new(16_000, 1).expect("a good rate").set_complexity(11));
}

#[test]
fn a_reset_forgets_everything_but_the_settings() {
    let pcm = speech("go-forward.wav");
    let config = EncoderConfig { dred_ms: 100, ..voice() };
    let mut encoder = Encoder::new(&config).expect("a good configuration");
    let mut decoder = Decoder::new(16_000, 1).expect("a good rate");
    let mut run = || {
        let (mut packet, mut out) = ([0; MAX_PACKET_BYTES], [0; 320]);
        let mut heard = Vec::new();
        for frame in pcm.chunks_exact(320).take(50) {
            let length = encoder.encode(frame, &mut packet).expect("a whole frame");
            decoder.decode(&packet[..length], &mut out).expect("our own packet");
            heard.push((packet[..length].to_vec(), out));
        }
        encoder.reset();
        decoder.reset();
        heard
    };
    let (first, second) = (run(), run());
    for (index, (before, after)) in first.iter().zip(&second).enumerate() {
        assert!(before.0 == after.0, "packet {index}");
        assert!(before.1 == after.1, "frame {index}");
    }
}
