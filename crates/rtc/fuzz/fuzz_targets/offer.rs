#![no_main]

use antiphon_rtc::fuzzing::offer;
use libfuzzer_sys::fuzz_target;

// An offer, and, after a byte of zero, another one for the peer that came of it.
fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (first, second) = text.split_once('\0').unwrap_or((&text, &text));
    if let Some(answer) = offer(first, second) {
        assert!(answer.contains("a=ice-lite"), "{answer}");
        assert!(answer.contains("m=audio "), "{answer}");
    }
});
