#![no_main]

use antiphon_core::live::{Carrier, LiveDecoder};
use antiphon_core::opus::SAMPLE_RATES;
use libfuzzer_sys::fuzz_target;

// The first byte chooses carrier and rate, the second how the rest is cut. What is decoded must be as long as what was
// said to be ready, within what a container may ask to be left out.
fuzz_target!(|data: &[u8]| {
    let [settings, cut, stream @ ..] = data else { return };
    let carrier = [Carrier::Packets, Carrier::Webm, Carrier::Ogg][usize::from(settings & 3) % 3];
    let rate = SAMPLE_RATES[usize::from(settings >> 2) % SAMPLE_RATES.len()];
    let mut live = LiveDecoder::new(carrier, rate).expect("a rate of Opus");
    let (mut ready, mut heard) = (0, 0);
    for piece in stream.chunks(1 + usize::from(*cut)) {
        if settings & 128 != 0 {
            live.lost(u64::from(*cut) * 240);
        }
        let Ok(more) = live.push(piece) else { continue };
        ready += more;
        live.take_fault();
        // so that a few bytes can't keep the fuzzer busy for long
        if ready > 48_000 * 5 {
            break;
        }
        let limit = u64::from(piece[0]) * 480;
        heard += live.decode(limit).iter().map(|stretch| stretch.pcm.len() as u64).sum::<u64>();
    }
    if ready <= 48_000 * 5 {
        ready += live.finish();
    }
    if live.waiting() <= 48_000 * 5 {
        heard += live.decode(u64::MAX).iter().map(|stretch| stretch.pcm.len() as u64).sum::<u64>();
        assert_eq!(live.waiting(), 0);
        let concealed = live.concealed();
        assert!(heard <= (ready + concealed) * u64::from(rate) / 48_000 + 1, "{heard} of {ready} and {concealed}");
    }
});
