#![no_main]

use antiphon_core::rtp::{HEADER_SIZE, Intake, IntakeLimits, REORDER_PACKETS, Taken, parse, red::Blocks};
use libfuzzer_sys::fuzz_target;

const LIMITS: IntakeLimits = IntakeLimits {
    frame_bytes: 2,
    sample_rate: 16_000,
    block_bytes: 64,
    max_samples: 1 << 20,
    max_rate: 4.0,
    burst: 1.0,
};

// A stream of packets: a byte that says how much later each comes and which way it is taken, one of its length, and
// itself.
fuzz_target!(|data: &[u8]| {
    if let Some(blocks) = Blocks::parse(data) {
        let carried: usize = blocks.redundant().chain(blocks.primary()).map(|block| block.payload.len()).sum();
        assert!(carried < data.len());
    }
    let mut intake = Intake::new(LIMITS, 0.0);
    let mut ready = Vec::new();
    let (mut now, mut pushed, mut released) = (0.0, 0, 0);
    let mut rest = data;
    while let [action, length, after @ ..] = rest {
        let (packet, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        now += f64::from(action >> 2) * 0.005;
        let before = (intake.samples, intake.sequence.next_seq(), intake.block().len());
        let taken = if action & 1 == 0 { intake.take_packet(packet, now) } else { intake.take_chunk(packet, now) };
        if taken == Taken::Unusual {
            assert_eq!(before, (intake.samples, intake.sequence.next_seq(), intake.block().len()));
        }
        assert_eq!(taken == Taken::Full, taken != Taken::Unusual && intake.block().len() >= LIMITS.block_bytes);
        if taken == Taken::Full {
            intake.clear_block();
        }
        assert!(intake.samples <= LIMITS.max_samples);
        let Ok(parsed) = parse(packet) else { continue };
        assert!(parsed.payload.len() + HEADER_SIZE <= packet.len());
        if taken == Taken::Unusual && action & 2 != 0 {
            let known = intake.sequence.knows(parsed.sequence_number);
            let samples = parsed.payload.len() as u32 / 2;
            let next = intake.sequence.next_seq();
            intake.sequence.push(parsed.sequence_number, parsed.timestamp, parsed.payload, samples, now, &mut ready);
            pushed += usize::from(!known);
            assert!(intake.sequence.knows(parsed.sequence_number));
            assert!(next == 0 || intake.sequence.next_seq() >= next, "what was told to be safe stays so");
            released += ready.drain(..).count();
            assert!(pushed - released < REORDER_PACKETS, "what waits is bounded");
        }
    }
    intake.sequence.flush(&mut ready);
    assert_eq!(pushed, released + ready.len(), "every packet comes out once");
    assert!(intake.sequence.stats().jitter.is_finite());
});
