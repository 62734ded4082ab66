//! How many packets are decoded and encoded.

use antiphon_core::mixer::{Conference, Input, InputFormat, OutputFormat, RoomConfig};

use super::support::{Listeners, TICK, Voice, noise, opus, room, speech, tone};

fn work(room: &mut Conference, inputs: &[(u64, Input<'_>)]) -> (u64, u64) {
    let before = room.counters();
    room.tick(inputs).expect("tick");
    let after = room.counters();
    (after.decoded - before.decoded, after.encoded - before.encoded)
}

#[test]
fn three_of_sixty_cost_three_decodes_and_four_encodes() {
    let mut room = room(RoomConfig::default(), 60, opus(32_000));
    let voices: Vec<_> =
        (0..3).map(|n| Voice::new(opus(32_000), &tone(300.0 + 170.0 * n as f32, 0.3, 50 * TICK))).collect();
    let quiet = Voice::new(opus(32_000), &noise(1, 0.0005, 50 * TICK));
    for tick in 0..100 {
        let inputs: Vec<_> = (1..=60)
            .map(|id| (id, voices.get(id as usize - 1).map_or_else(|| quiet.input(tick), |voice| voice.input(tick))))
            .collect();
        assert_eq!(work(&mut room, &inputs), (3, 4), "tick {tick}");
        assert_eq!(room.packets().count(), 60);
        assert_eq!(room.packets().filter(|packet| packet.shared == Some(0)).count(), 57);
        assert_eq!(room.active().len(), 3);
    }
}

#[test]
fn nobody_speaking_costs_one_encode() {
    let mut room = room(RoomConfig::default(), 60, opus(32_000));
    let quiet = Voice::new(opus(32_000), &noise(1, 0.0005, 50 * TICK));
    for tick in 0..20 {
        let inputs: Vec<_> = (1..=60).map(|id| (id, quiet.input(tick))).collect();
        assert_eq!(work(&mut room, &inputs), (0, 1));
    }
}

#[test]
fn a_pair_needs_no_shared_encoder_while_both_speak() {
    let mut room = room(RoomConfig::default(), 2, opus(32_000));
    let voices = [330.0, 440.0].map(|hz| Voice::new(opus(32_000), &tone(hz, 0.3, 50 * TICK)));
    for tick in 0..200 {
        // Both for a second, then only the first, then nobody.
        let speaking = [2, 1, 0, 0][tick / 50];
        let inputs: Vec<_> = (0..speaking).map(|n| (n as u64 + 1, voices[n].input(tick))).collect();
        let rejoined = room.counters().rejoined;
        let (_, encoded) = work(&mut room, &inputs);
        let streams = room.own_streams() + room.shared_streams();
        assert_eq!(encoded, streams as u64 + room.counters().rejoined - rejoined);
        assert!((1..=2).contains(&encoded));
        assert_eq!(room.packets().count(), 2);
    }
    assert_eq!((room.own_streams(), room.shared_streams()), (0, 1));
}

#[test]
fn each_format_has_one_shared_encoder() {
    let mut room = Conference::new(RoomConfig::default()).expect("ok");
    let formats = [
        OutputFormat::Opus(opus(32_000)),
        OutputFormat::Opus(opus(64_000)),
        OutputFormat::Pcmu,
        OutputFormat::Pcm16 { sample_rate: 16_000, channels: 2 },
    ];
    for id in 0..40 {
        room.add(id, InputFormat::Opus, Some(formats[id as usize % 4])).expect("room");
    }
    let voice = Voice::new(opus(32_000), &tone(440.0, 0.3, 50 * TICK));
    for tick in 0..20 {
        // Number 1 speaks, who hears Opus at 64 kb/s.
        assert_eq!(work(&mut room, &[(1, voice.input(tick))]), (1, 5));
        assert_eq!(room.shared_streams(), 4);
    }
    let lengths: Vec<_> =
        room.packets().filter(|packet| packet.id % 4 >= 2).map(|packet| packet.payload.len()).collect();
    assert_eq!(lengths, [160, 320 * 4].repeat(10));
}

#[test]
fn without_levels_only_those_who_may_be_speaking_are_decoded() {
    let speech = Voice::new(
        antiphon_core::opus::EncoderConfig { sample_rate: 16_000, ..opus(24_000) },
        &speech("two-utterances.wav"),
    );
    let quiet = Voice::new(opus(24_000), &noise(1, 0.0005, 100 * TICK));
    let mut room = room(RoomConfig::default(), 20, opus(24_000));
    let mut decoded = 0;
    for tick in 0..speech.0.len() {
        let inputs: Vec<_> = (1..=20)
            .map(|id| (id, if id == 7 { speech.without_level(tick) } else { quiet.without_level(tick) }))
            .collect();
        decoded += work(&mut room, &inputs).0;
        assert!(room.active().iter().all(|(id, _)| *id == 7));
    }
    let packets = speech.0.len() as u64 * 20;
    assert!(decoded * 4 < packets, "{decoded} of {packets} packets decoded");
}

#[test]
fn who_is_muted_is_not_decoded_and_goes_on_hearing() {
    let mut room = room(RoomConfig::default(), 3, opus(32_000));
    let voice = Voice::new(opus(32_000), &tone(440.0, 0.3, 50 * TICK));
    room.set_muted(1, true).expect("in the room");
    let mut listeners = Listeners::default();
    for tick in 0..50 {
        assert_eq!(work(&mut room, &[(1, voice.input(tick)), (2, voice.input(tick))]).0, 1);
        listeners.listen(&room, 48_000);
    }
    assert_eq!(room.active().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2]);
    assert_eq!(listeners.packets[&1], listeners.packets[&3]);
}
