//! A room in which anything may happen: whoever joins, leaves, sends what, the tick goes on and what comes out can be
//! decoded.

#![no_main]

use antiphon_core::{
    mixer::{Conference, Input, InputFormat, OutputFormat, RoomConfig},
    opus::{EncoderConfig, FrameSize, packet_samples},
};
use libfuzzer_sys::fuzz_target;

const INPUTS: [InputFormat; 4] =
    [InputFormat::Opus, InputFormat::Pcmu, InputFormat::Pcma, InputFormat::Pcm16 { sample_rate: 16_000, channels: 2 }];

fn output(number: u8) -> Option<OutputFormat> {
    let opus = EncoderConfig { complexity: 0, bitrate: 24_000, sample_rate: 16_000, ..EncoderConfig::default() };
    [
        Some(OutputFormat::Opus(opus)),
        Some(OutputFormat::Opus(EncoderConfig { frame: FrameSize::Ms60, ..opus })),
        Some(OutputFormat::Pcmu),
        Some(OutputFormat::Pcm16 { sample_rate: 8_000, channels: 2 }),
        None,
    ][usize::from(number % 5)]
}

/// The next `length` bytes, or as many as there are.
fn take<'a>(data: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = data.split_at(length.min(data.len()));
    *data = rest;
    taken
}

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let config = RoomConfig { sample_rate: 16_000, max_participants: 6, threshold: -90.0, ..RoomConfig::default() };
    let tick = config.tick_len();
    let mut room = Conference::new(config).expect("a configuration that is right");
    let mut inputs = Vec::new();
    let mut ticks = 0;
    while let [deed, who, rest @ ..] = data {
        data = rest;
        let id = u64::from(who % 8);
        match deed % 10 {
            0 => {
                let _ = room.add(id, INPUTS[usize::from(who / 8 % 4)], output(who / 32));
            }
            1 => {
                room.remove(id);
            }
            2 => {
                let _ = room.set_muted(id, who & 128 != 0);
            }
            3 => {
                let _ = room.set_output(id, output(who / 8));
            }
            4 => {
                let _ = room.set_gain(id, f32::from(*who) / 25.0);
            }
            5 => inputs.push((id, Input::Lost)),
            6 => inputs.push((id, Input::Recover { next: take(&mut data, usize::from(*deed)) })),
            7 | 8 => {
                let payload = take(&mut data, usize::from(*deed));
                let level = (who & 64 != 0).then_some(who / 2);
                inputs.push((id, Input::Packet { payload, level, voice: (who & 32 != 0).then_some(who & 16 != 0) }));
            }
            _ => {
                let known: Vec<_> = inputs.drain(..).filter(|(id, _)| room.talker(*id).is_some()).collect();
                room.tick(&known).expect("only an unknown participant stops a tick");
                assert!(room.shared().len() == tick && room.shared().iter().all(|x| x.abs() <= 1.0));
                for packet in room.packets() {
                    assert!(
                        packet.payload.len() == 160 * 4
                            || packet.payload.len() == 160
                            || packet_samples(packet.payload, 16_000).is_ok()
                    );
                }
                ticks += 1;
            }
        }
        if ticks > 200 {
            break;
        }
    }
});
