#![no_main]

use antiphon_core::g711::Law;
use libfuzzer_sys::fuzz_target;

// Bytes are decoded and encoded again: once decoded, nothing changes any more. As samples they are encoded, and lie
// within half a step of what comes back.
fuzz_target!(|data: &[u8]| {
    for law in [Law::Mu, Law::A] {
        let (mut pcm, mut bytes, mut again) = (vec![0; data.len()], vec![0; data.len()], vec![0; data.len()]);
        law.decode(data, &mut pcm).expect("equal lengths");
        law.encode(&pcm, &mut bytes).expect("equal lengths");
        law.decode(&bytes, &mut again).expect("equal lengths");
        assert_eq!(pcm, again);
        let samples: Vec<i16> = data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        for sample in samples {
            let back = law.decode_sample(law.encode_sample(sample));
            let error = (i32::from(back) - i32::from(sample)).abs();
            assert!(error <= 16.max(i32::from(sample).abs() / 28 + 16), "{law:?} {sample} {back}");
        }
    }
});
