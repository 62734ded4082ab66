//! Whatever is done with a room, its ticks go on.

use antiphon_core::{
    mixer::{InputFormat, OutputFormat, RoomConfig},
    opus::EncoderConfig,
    room::{Arrived, Input, MixRoom, MixRoomConfig},
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Deed {
    Add(u64, u8, u8),
    Remove(u64),
    Push(u64, u16, u32, Vec<u8>, Option<u8>),
    Pcm(u64, Vec<u8>),
    Packet(u64, Vec<u8>),
    Mute(u64, bool),
    Gain(u64, u8),
    Output(u64, u8),
    Tap(u64, bool),
    Tick(u32),
}

fn input(number: u8) -> Option<Input> {
    [
        None,
        Some(Input::Rtp(InputFormat::Opus)),
        Some(Input::Rtp(InputFormat::Pcmu)),
        Some(Input::Pcm { sample_rate: 16_000, channels: 2 }),
        Some(Input::Pcm { sample_rate: 22_050, channels: 1 }),
        Some(Input::Packets(InputFormat::Opus)),
        Some(Input::Packets(InputFormat::Pcma)),
    ][usize::from(number % 7)]
}

fn output(number: u8) -> Option<OutputFormat> {
    let opus = EncoderConfig { complexity: 0, bitrate: 24_000, sample_rate: 16_000, ..EncoderConfig::default() };
    [None, Some(OutputFormat::Opus(opus)), Some(OutputFormat::Pcmu)][usize::from(number % 3)]
}

fn deed() -> impl Strategy<Value = Deed> {
    let id = 0..5_u64;
    let bytes = prop::collection::vec(any::<u8>(), 0..400);
    let packet =
        prop_oneof![bytes.clone(), Just(vec![0xF8, 0xFF, 0xFE]), Just(vec![0x48, 1, 2, 3, 4, 5, 6]), Just(vec![0x48])];
    prop_oneof![
        1 => (id.clone(), any::<u8>(), any::<u8>()).prop_map(|(id, a, b)| Deed::Add(id, a, b)),
        1 => id.clone().prop_map(Deed::Remove),
        6 => (id.clone(), 0..40_u16, any::<u32>(), packet.clone(), any::<Option<u8>>())
            .prop_map(|(id, number, timestamp, payload, level)| Deed::Push(id, number, timestamp, payload, level)),
        2 => (id.clone(), bytes).prop_map(|(id, bytes)| Deed::Pcm(id, bytes)),
        3 => (id.clone(), packet).prop_map(|(id, bytes)| Deed::Packet(id, bytes)),
        1 => (id.clone(), any::<bool>()).prop_map(|(id, muted)| Deed::Mute(id, muted)),
        1 => (id.clone(), any::<u8>()).prop_map(|(id, gain)| Deed::Gain(id, gain)),
        1 => (id.clone(), any::<u8>()).prop_map(|(id, output)| Deed::Output(id, output)),
        1 => (id, any::<bool>()).prop_map(|(id, tap)| Deed::Tap(id, tap)),
        8 => prop_oneof![Just(20_000), 0..2_000_000_u32].prop_map(Deed::Tick),
    ]
}

fn room() -> MixRoom {
    let room = RoomConfig { sample_rate: 16_000, max_participants: 4, threshold: -90.0, ..RoomConfig::default() };
    MixRoom::new(MixRoomConfig { room, ..MixRoomConfig::default() }).expect("configuration")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn ticks_go_on_whatever_is_done(deeds in prop::collection::vec(deed(), 1..120)) {
        let mut room = room();
        let mut now = 0_i64;
        for deed in deeds {
            match deed {
                Deed::Add(id, a, b) => drop(room.add(id, input(a), output(b))),
                Deed::Remove(id) => drop(room.remove(id)),
                Deed::Push(id, sequence_number, timestamp, payload, level) => {
                    let timestamp = if timestamp % 3 == 0 { timestamp } else { u32::from(sequence_number) * 320 };
                    let packet = Arrived { ssrc: timestamp % 2, sequence_number, timestamp, payload: &payload, level, voice: None };
                    drop(room.push(id, &packet, now));
                }
                Deed::Pcm(id, pcm) => drop(room.push_pcm(id, &pcm, now)),
                Deed::Packet(id, payload) => drop(room.push_packet(id, &payload, now)),
                Deed::Mute(id, muted) => drop(room.set_muted(id, muted)),
                Deed::Gain(id, gain) => drop(room.set_gain(id, f32::from(gain) / 25.0)),
                Deed::Output(id, number) => drop(room.set_output(id, output(number))),
                Deed::Tap(id, tap) => drop(room.tap(id, tap.then_some(8_000))),
                Deed::Tick(step) => {
                    now += i64::from(step);
                    room.tick(now).expect("a tick goes on");
                    prop_assert!(room.shared().iter().all(|x| x.abs() <= 1.0));
                    prop_assert!(room.tapped().all(|(_, pcm)| pcm.len() == 160));
                    prop_assert!(room.active().count() <= 3 && room.len() <= 4);
                    for id in 0..5 {
                        if let Some(jitter) = room.stats(id).and_then(|stats| stats.jitter) {
                            prop_assert!(jitter.packets <= 256 && jitter.bytes <= 1 << 18);
                        }
                    }
                }
            }
        }
    }
}
