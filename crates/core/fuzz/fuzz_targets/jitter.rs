//! Packets and ticks made of the fuzzer's bytes. Every tick must give a whole frame, and memory must stay bounded.
#![no_main]

use antiphon_core::g711::Law;
use antiphon_core::jitter::{
    Config, FrameDecoder, G711Decoder, JitterBuffer, OpusDecoder, Packet, PcmDecoder, PcmFormat,
};
use antiphon_core::opus::Decoder;
use libfuzzer_sys::fuzz_target;

const MAX_PACKETS: usize = 32;

fn decoder(kind: u8) -> Option<(Box<dyn FrameDecoder + Send>, u32)> {
    Some(match kind % 4 {
        0 => (Box::new(OpusDecoder::new(Decoder::new(16_000, 1).ok()?)), 48_000),
        1 => (Box::new(G711Decoder::new(Law::A)), 8_000),
        2 => (Box::new(PcmDecoder::new(PcmFormat::S16Be, 44_100, 2).ok()?), 90_000),
        _ => (Box::new(PcmDecoder::new(PcmFormat::F32Le, 16_000, 1).ok()?), 16_000),
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, mut data)) = data.split_first() else { return };
    let Some((decoder, clock_rate)) = decoder(kind) else { return };
    let frame_ms = if kind & 8 == 0 { 20 } else { 10 };
    let config = Config { clock_rate, frame_ms, max_packets: MAX_PACKETS, ..Config::default() };
    let Ok(mut buffer) = JitterBuffer::new(config, decoder) else { return };
    let mut out = vec![0.0; buffer.frame_len()];
    let (mut now, mut sequence_number, mut timestamp) = (0i64, 0u16, 0u32);
    while let Some((head, rest)) = data.split_at_checked(8) {
        let length = usize::from(head[0]).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        data = rest;
        // Mostly a stream that goes on; by some bits, one that jumps.
        sequence_number = sequence_number.wrapping_add(if head[1] & 1 == 0 { 1 } else { u16::from(head[2]) << 8 });
        timestamp = timestamp.wrapping_add(if head[1] & 2 == 0 { clock_rate / 50 } else { u32::from(head[3]) << 24 });
        now = now.wrapping_add(if head[1] & 4 == 0 { 20_000 } else { i64::from(head[4] as i8) << (head[5] % 64) });
        let ssrc = u32::from(head[1] & 0xf8 == 0xf8);
        let _ = buffer.push(&Packet { ssrc, sequence_number, timestamp, payload }, now);
        for _ in 0..head[6] % 4 {
            let frame =
                buffer.pull(now.wrapping_add(i64::from(head[7]) << 8), &mut out).expect("the frame has the right size");
            let channels = buffer.decoder().channels();
            assert_eq!((frame.decoded + frame.concealed + frame.recovered + frame.silence) * channels, out.len());
            assert!(out.iter().all(|sample| sample.is_finite()));
        }
        assert!(buffer.stats().packets <= MAX_PACKETS);
    }
});
