//! Whatever people do, everybody hears something that can be decoded, and no more is encoded than need be.

use std::collections::BTreeMap;

use antiphon_core::{
    mixer::{Conference, Id, Input, InputFormat, OutputFormat, RoomConfig},
    opus::{Decoder, EncoderConfig, FrameSize},
};
use proptest::prelude::*;

use super::support::{TICK, Voice, opus, tone};

#[derive(Debug, Clone)]
enum Deed {
    Join(Id, usize),
    Leave(Id),
    Mute(Id, bool),
    Gain(Id, f32),
    Hear(Id, usize),
    Speak(Id, bool),
    Lose(Id),
    Garbage(Id, Vec<u8>),
    Ticks(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let id = 0_u64..7;
    prop_oneof![
        2 => (id.clone(), 0_usize..5).prop_map(|(id, format)| Deed::Join(id, format)),
        1 => id.clone().prop_map(Deed::Leave),
        1 => (id.clone(), any::<bool>()).prop_map(|(id, muted)| Deed::Mute(id, muted)),
        1 => (id.clone(), 0.0_f32..2.0).prop_map(|(id, gain)| Deed::Gain(id, gain)),
        1 => (id.clone(), 0_usize..5).prop_map(|(id, format)| Deed::Hear(id, format)),
        6 => (id.clone(), any::<bool>()).prop_map(|(id, speaks)| Deed::Speak(id, speaks)),
        1 => id.clone().prop_map(Deed::Lose),
        1 => (id, prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(id, bytes)| Deed::Garbage(id, bytes)),
        6 => (1_usize..30).prop_map(Deed::Ticks),
    ]
}

fn format(number: usize) -> Option<OutputFormat> {
    let quick = EncoderConfig { complexity: 0, ..opus(24_000) };
    [
        Some(OutputFormat::Opus(quick)),
        Some(OutputFormat::Opus(EncoderConfig { bitrate: 48_000, ..quick })),
        Some(OutputFormat::Opus(EncoderConfig { frame: FrameSize::Ms60, ..quick })),
        Some(OutputFormat::Pcma),
        None,
    ][number]
}

#[derive(Default)]
struct Person {
    output: Option<OutputFormat>,
    speaks: bool,
    decoder: Option<Decoder>,
    waited: usize,
}

struct World {
    room: Conference,
    people: BTreeMap<Id, Person>,
    voices: Vec<Voice>,
    at: usize,
}

impl World {
    fn act(&mut self, deed: &Deed) {
        let known = |id: &Id| self.people.contains_key(id);
        match deed {
            Deed::Join(id, number) => {
                let output = format(*number);
                assert_eq!(self.room.add(*id, InputFormat::Opus, output).is_ok(), !known(id));
                self.people.entry(*id).or_insert(Person { output, ..Person::default() });
            }
            Deed::Leave(id) => assert_eq!(self.room.remove(*id), self.people.remove(id).is_some()),
            Deed::Mute(id, muted) => assert_eq!(self.room.set_muted(*id, *muted).is_ok(), known(id)),
            Deed::Gain(id, gain) => assert_eq!(self.room.set_gain(*id, *gain).is_ok(), known(id)),
            Deed::Hear(id, number) => {
                assert_eq!(self.room.set_output(*id, format(*number)).is_ok(), known(id));
                if let Some(person) = self.people.get_mut(id) {
                    (person.output, person.waited) = (format(*number), 0);
                }
            }
            Deed::Speak(id, speaks) => {
                if let Some(person) = self.people.get_mut(id) {
                    person.speaks = *speaks;
                }
            }
            Deed::Lose(id) if known(id) => self.tick(Some((*id, Input::Lost))),
            Deed::Garbage(id, bytes) if known(id) => self.tick(Some((*id, Input::packet(bytes)))),
            Deed::Lose(_) | Deed::Garbage(..) => {}
            Deed::Ticks(ticks) => (0..*ticks).for_each(|_| self.tick(None)),
        }
    }

    fn tick(&mut self, extra: Option<(Id, Input<'_>)>) {
        let mut inputs: Vec<_> = self
            .people
            .iter()
            .filter(|(_, person)| person.speaks)
            .map(|(id, _)| (*id, self.voices[*id as usize].input(self.at)))
            .collect();
        inputs.extend(extra);
        let before = self.room.counters();
        self.room.tick(&inputs).expect("tick");
        self.at += 1;
        let after = self.room.counters();
        let streams = self.room.own_streams() + self.room.shared_streams();
        assert!(after.encoded - before.encoded <= streams as u64 + after.rejoined - before.rejoined);
        let active = self.room.active();
        assert!(active.len() <= 3 && active.iter().all(|(id, _)| self.people.contains_key(id)));
        assert!(self.room.shared().iter().all(|x| x.abs() <= 0.9));
        self.listen();
    }

    fn listen(&mut self) {
        let mut packets: BTreeMap<_, _> = self.room.packets().map(|packet| (packet.id, packet.payload)).collect();
        for (id, person) in &mut self.people {
            let packet = packets.remove(id);
            match person.output {
                None => assert!(packet.is_none()),
                Some(OutputFormat::Opus(config)) => {
                    person.waited += 1;
                    let Some(packet) = packet else {
                        assert!(config.frame == FrameSize::Ms60 && person.waited < 3);
                        continue;
                    };
                    person.waited = 0;
                    let decoder = person.decoder.get_or_insert_with(|| Decoder::new(48_000, 1).expect("decoder"));
                    let mut pcm = [0.0; 3 * TICK];
                    assert_eq!(decoder.decode_float(packet, &mut pcm), Ok(config.frame_samples()));
                    assert!(pcm.iter().all(|x| x.is_finite()));
                }
                Some(_) => assert_eq!(packet.map(<[u8]>::len), Some(160)),
            }
        }
        assert!(packets.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everybody_is_served_whatever_happens(deeds in prop::collection::vec(deed(), 1..60)) {
        let quick = EncoderConfig { complexity: 0, ..opus(24_000) };
        let voices = (0..7).map(|n| Voice::new(quick, &tone(200.0 + 90.0 * n as f32, 0.1 + 0.1 * n as f32, 50 * TICK)));
        let room = Conference::new(RoomConfig { hold_ms: 100, tenure_ms: 60, ..RoomConfig::default() }).expect("ok");
        let mut world = World { room, people: BTreeMap::new(), voices: voices.collect(), at: 0 };
        deeds.iter().for_each(|deed| world.act(deed));
        // Once all are quiet, everybody shares.
        world.people.values_mut().for_each(|person| person.speaks = false);
        (0..420).for_each(|_| world.tick(None));
        prop_assert_eq!(world.room.own_streams(), 0);
        prop_assert!(world.room.active().is_empty());
    }
}
