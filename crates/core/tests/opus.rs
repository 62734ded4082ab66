//! What the Opus encoder and decoder do to real speech.

use std::path::Path;

use antiphon_core::Error;
use antiphon_core::opus::{
    Application, Decoder, Encoder, EncoderConfig, FrameSize, MAX_PACKET_BYTES, Mode, PacketInfo, SAMPLE_RATES, has_fec,
    packet_samples,
};

/// Recorded speech, mono at 16 kHz.
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
