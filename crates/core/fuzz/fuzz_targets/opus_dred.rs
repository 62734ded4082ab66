#![no_main]

use antiphon_core::Error;
use antiphon_core::opus::{Decoder, Dred, SAMPLE_RATES};
use libfuzzer_sys::fuzz_target;

// Four bytes choose rate, channels, how far back to look and where to begin; the rest is one packet, and as an extension
// its bytes are also put into the padding of a good packet, past the framing that a fuzzer seldom gets right.
fuzz_target!(|data: &[u8]| {
    let [settings, most, before, steps, packet @ ..] = data else { return };
    let rate = SAMPLE_RATES[usize::from(settings >> 1) % SAMPLE_RATES.len()];
    let channels = 1 + (settings & 1);
    let step = rate as usize / 400;
    let mut decoder = Decoder::new(rate, channels).expect("good values");
    let mut dred = Dred::new().expect("it is built in");
    let mut out = vec![0.0; step * usize::from(channels) * (1 + usize::from(*steps) % 24)];
    // 20 ms of silence in wide-band CELT, so that there is a mode to conceal in.
    let mut whole = vec![0.0; 8 * step * usize::from(channels)];
    decoder.decode_float(&[0xB8, 0xFF, 0xFE], &mut whole).expect("a good packet");
    for packet in [packet.to_vec(), with_extension(packet)] {
        match dred.parse(&packet, rate, usize::from(*most) * step) {
            // 1.04 s of audio, at most 20.6 s back.
            Ok(reach) => assert!(reach <= 22 * rate as usize && dred.gap() <= reach),
            Err(Error::Malformed { at, .. }) => assert!(at <= packet.len() as u64),
            Err(other) => panic!("{other}"),
        }
        decoder.recover_dred_float(&dred, usize::from(*before) * step, &mut out).expect("it falls back");
        assert!(out.iter().all(|sample| sample.is_finite()));
    }
});

/// A packet of one short frame whose padding holds `content` as DRED: extension 126, to the end, version 12.
fn with_extension(content: &[u8]) -> Vec<u8> {
    let extension = [&[126 << 1, b'D', 12], content].concat();
    let mut packet = vec![0xBB, 0x41];
    packet.extend(std::iter::repeat_n(255, extension.len() / 254));
    packet.push((extension.len() % 254) as u8);
    packet.extend([0xFF, 0xFE]);
    packet.extend(extension);
    packet
}
