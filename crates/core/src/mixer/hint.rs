//! What an Opus packet tells of its loudness before it is decoded.

/// Whether there is anything to hear in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Digital silence, or a frame that was not sent (DTX).
    Silent,
    /// The sender's encoder detected no voice in it.
    Quiet,
    /// The sender's encoder detected voice.
    Voice,
    /// Nothing to be seen from outside.
    Unknown,
}

/// Look into an Opus packet (RFC 6716) for what its sender thought of it.
///
/// SILK and hybrid frames begin with a voice activity flag for every 20 ms (section 4.2.3), CELT frames with a silence
/// flag that is improbable enough to show in the first bytes (section 4.3); a frame without a byte stands for DTX.
pub fn opus_hint(packet: &[u8]) -> Hint {
    let Some((&toc, rest)) = packet.split_first() else { return Hint::Silent };
    let configuration = toc >> 3;
    let Some(frame) = first_frame(toc & 3, rest) else { return Hint::Unknown };
    match (configuration, frame) {
        (_, [] | [_]) if packet.len() <= 2 => Hint::Silent,
        (_, []) => Hint::Unknown,
        // Of 10, 20, 40 and 60 ms the last two hold two and three flags.
        (0..12, [first, ..]) => voice(first >> [7, 7, 6, 5][usize::from(configuration % 4)] != 0),
        (12..16, [first, ..]) => voice(first >> 7 != 0),
        // The flag has a probability of 2^-15, so that it is set exactly where the first 15 bits all are.
        (_, [0xFF, 0xFE..=0xFF, ..]) if toc & 3 == 0 => Hint::Silent,
        _ => Hint::Unknown,
    }
}

fn voice(active: bool) -> Hint {
    if active { Hint::Voice } else { Hint::Quiet }
}

/// The first frame of a packet, as far as can be told, with whatever follows it (RFC 6716, section 3.2).
fn first_frame(code: u8, rest: &[u8]) -> Option<&[u8]> {
    match code {
        0 | 1 => Some(rest),
        2 => after_lengths(rest, 1),
        _ => {
            let (&count, mut rest) = rest.split_first()?;
            if count & 0x40 != 0 {
                while *rest.first()? == 255 {
                    rest = &rest[1..];
                }
                rest = &rest[1..];
            }
            after_lengths(rest, if count & 0x80 == 0 { 0 } else { (count & 0x3F).saturating_sub(1) })
        }
    }
}

fn after_lengths(mut rest: &[u8], lengths: u8) -> Option<&[u8]> {
    for _ in 0..lengths {
        rest = rest.get(if *rest.first()? < 252 { 1 } else { 2 }..)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::super::{level::dbov, testing::speech};
    use super::*;
    use crate::opus::{Application, Encoder, EncoderConfig, FrameSize, MAX_PACKET_BYTES};
    use proptest::prelude::*;

    /// Each packet's hint, and the level of what went into it.
    fn encode(config: &EncoderConfig, pcm: &[f32]) -> Vec<(Hint, f32)> {
        let mut encoder = Encoder::new(config).expect("configuration");
        let mut packet = [0; MAX_PACKET_BYTES];
        pcm.chunks_exact(config.frame_samples())
            .map(|frame| {
                let length = encoder.encode_float(frame, &mut packet).expect("encoded");
                (opus_hint(&packet[..length]), dbov(frame))
            })
            .collect()
    }

    fn share(hints: &[(Hint, f32)], right: impl Fn(Hint) -> bool) -> f32 {
        hints.iter().filter(|(hint, _)| right(*hint)).count() as f32 / hints.len() as f32
    }

    #[test]
    fn voice_and_silence_are_told_apart_in_every_frame_size_of_silk() {
        let speech = speech("go-forward.wav");
        for frame in [FrameSize::Ms10, FrameSize::Ms20, FrameSize::Ms40, FrameSize::Ms60] {
            for bitrate in [12_000, 24_000, 32_000] {
                let config =
                    EncoderConfig { frame, bitrate, sample_rate: 16_000, dtx: false, ..EncoderConfig::default() };
                let mut hints = encode(&config, &speech);
                hints.retain(|(_, level)| *level > -30.0);
                assert!(share(&hints, |hint| hint == Hint::Voice) > 0.9, "{frame:?} {bitrate}: {hints:?}");
                let hints = encode(&config, &[0.0; 32_000]);
                assert_eq!(
                    share(&hints, |hint| matches!(hint, Hint::Quiet | Hint::Silent)),
                    1.0,
                    "{frame:?} {bitrate}"
                );
            }
        }
    }

    #[test]
    fn dtx_and_the_silence_of_celt_are_silent() {
        let dtx = EncoderConfig { bitrate: 24_000, ..EncoderConfig::default() };
        assert_eq!(encode(&dtx, &[0.0; 96_000]).last().map(|(hint, _)| *hint), Some(Hint::Silent));
        let celt = EncoderConfig { application: Application::RestrictedLowDelay, dtx: false, ..dtx };
        assert_eq!(encode(&celt, &[0.0; 96_000]).last().map(|(hint, _)| *hint), Some(Hint::Silent));
        let celt = EncoderConfig { sample_rate: 16_000, ..celt };
        assert_eq!(share(&encode(&celt, &speech("go-forward.wav")), |hint| hint == Hint::Unknown), 1.0);
        assert_eq!(opus_hint(&[]), Hint::Silent);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_hint(packet in prop::collection::vec(any::<u8>(), 0..40)) {
            opus_hint(&packet);
        }
    }
}
