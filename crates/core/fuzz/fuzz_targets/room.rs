//! A mixed room with its jitter buffers, in which anything may be done at any time: ticks go on, what waits is bounded, and
//! taps give every tick.

#![no_main]

use antiphon_core::{
    mixer::{InputFormat, OutputFormat, RoomConfig},
    opus::EncoderConfig,
    room::{Arrived, Input, MixRoom, MixRoomConfig},
};
use libfuzzer_sys::fuzz_target;

const INPUTS: [Option<Input>; 6] = [
    None,
    Some(Input::Rtp(InputFormat::Opus)),
    Some(Input::Rtp(InputFormat::Pcmu)),
    Some(Input::Packets(InputFormat::Opus)),
    Some(Input::Pcm { sample_rate: 16_000, channels: 2 }),
    Some(Input::Pcm { sample_rate: 11_025, channels: 1 }),
];

fn output(number: u8) -> Option<OutputFormat> {
    let opus = EncoderConfig { complexity: 0, bitrate: 24_000, sample_rate: 16_000, ..EncoderConfig::default() };
    [None, Some(OutputFormat::Opus(opus)), Some(OutputFormat::Pcma)][usize::from(number % 3)]
}

/// The next `length` bytes, or as many as there are.
fn take<'a>(data: &mut &'a [u8], length: u8) -> &'a [u8] {
    let (taken, rest) = data.split_at(usize::from(length).min(data.len()));
    *data = rest;
    taken
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, mut data)) = data.split_first() else { return };
    let tick_ms = if kind & 1 == 0 { 20 } else { 10 };
    let room =
        RoomConfig { sample_rate: 16_000, tick_ms, max_participants: 6, threshold: -90.0, ..RoomConfig::default() };
    let mut room = MixRoom::new(MixRoomConfig { room, ..MixRoomConfig::default() }).expect("a right configuration");
    let (mut now, mut ticks) = (0_i64, 0);
    while let [deed, who, what, rest @ ..] = data {
        data = rest;
        let (id, what) = (u64::from(who % 8), *what);
        match deed % 12 {
            0 => drop(room.add(id, INPUTS[usize::from(who / 8 % 6)], output(what))),
            1 => drop(room.remove(id)),
            2 => drop(room.set_muted(id, what & 1 != 0)),
            3 => drop(room.set_output(id, output(what))),
            4 => drop(room.set_gain(id, f32::from(what) / 25.0)),
            5 => drop(room.tap(id, (what & 1 != 0).then_some(8_000))),
            6 => drop(room.push_pcm(id, take(&mut data, what), now)),
            7 => drop(room.push_packet(id, take(&mut data, what), now)),
            8 | 9 => {
                // Mostly a stream that goes on; by some bits, one that jumps.
                let number = u16::from(*deed) / 12 + if who & 64 == 0 { ticks as u16 } else { 0 };
                let timestamp = u32::from(number) * 960 + if who & 128 == 0 { 0 } else { u32::from(what) << 24 };
                let level = (what & 128 != 0).then_some(what & 127);
                let payload = take(&mut data, what & 63);
                let voice = (what & 64 != 0).then_some(what & 32 != 0);
                let packet = Arrived { ssrc: 1, sequence_number: number, timestamp, payload, level, voice };
                drop(room.push(id, &packet, now));
            }
            _ => {
                let step = if what < 200 { i64::from(tick_ms) * 1_000 } else { i64::from(what) << (who % 32) };
                now = now.wrapping_add(step);
                room.tick(now).expect("no input stops a tick");
                assert!(room.shared().iter().all(|x| x.abs() <= 1.0));
                assert!(room.tapped().all(|(_, pcm)| pcm.len() == 8 * tick_ms as usize));
                for id in 0..8 {
                    let waiting = room.stats(id).and_then(|stats| stats.jitter);
                    assert!(waiting.is_none_or(|jitter| jitter.packets <= 256 && jitter.bytes <= 1 << 18));
                }
                ticks += 1;
            }
        }
        if ticks > 200 {
            break;
        }
    }
});
