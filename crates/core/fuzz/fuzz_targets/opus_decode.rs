#![no_main]

use antiphon_core::Error;
use antiphon_core::opus::{Decoder, PacketInfo, SAMPLE_RATES, has_fec, packet_samples};
use libfuzzer_sys::fuzz_target;

// The first two bytes choose rate, channels and complexity. Then a stream of packets: a byte that says whether one is
// lost before it and how long, a byte of its length, and itself.
fuzz_target!(|data: &[u8]| {
    let [settings, complexity, stream @ ..] = data else { return };
    let rate = SAMPLE_RATES[usize::from(settings >> 1) % SAMPLE_RATES.len()];
    let channels = 1 + (settings & 1);
    let mut decoder = Decoder::new(rate, channels).expect("good values");
    decoder.set_complexity(complexity % 11).expect("0 to 10");
    decoder.set_bandwidth_extension(complexity & 128 != 0).expect("either");
    let step = rate as usize / 400 * usize::from(channels);
    let (mut float, mut int) = (vec![0.0; 48 * step], vec![0; 48 * step]);
    let mut rest = stream;
    while let [action, length, after @ ..] = rest {
        let (packet, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        let lost = step * (1 + usize::from(action >> 2) % 48);
        match action & 3 {
            0 => {}
            1 => decoder.conceal(&mut int[..lost]).expect("a multiple of 2.5 ms"),
            2 => decoder.conceal_float(&mut float[..lost]).expect("a multiple of 2.5 ms"),
            _ => decoder.recover_float(packet, &mut float[..lost]).expect("it falls back"),
        }
        let answer = match action & 64 {
            0 => decoder.decode_float(packet, &mut float),
            _ => decoder.decode(packet, &mut int),
        };
        match answer {
            Ok(samples) => assert_eq!(Ok(samples), packet_samples(packet, rate)),
            Err(Error::Malformed { at, .. }) => assert!(at <= packet.len() as u64),
            Err(other) => panic!("{other}"),
        }
        assert!(float.iter().all(|sample| sample.is_finite()));
        assert_eq!(has_fec(packet), PacketInfo::parse(packet).is_ok_and(|info| info.fec));
    }
});
