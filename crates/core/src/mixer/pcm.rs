//! The mixer for samples.

use super::{
    Id,
    config::RoomConfig,
    level,
    seat::{self, Seat},
    select::{Rules, Selection},
    stage::Stage,
};
use crate::{Error, Result};

/// Mixes samples: an array of each participant in, an array for each out.
///
/// All that goes in and out is interleaved `f32` of the room's rate and channels, one tick at a time.
#[derive(Debug)]
pub struct Mixer {
    config: RoomConfig,
    rules: Rules,
    seats: Vec<Seat>,
    selection: Selection,
    stage: Stage,
    arrived: Vec<Option<usize>>,
}

impl Mixer {
    /// An empty room.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the configuration asks for what there is not.
    pub fn new(config: RoomConfig) -> Result<Self> {
        let config = config.checked()?;
        let (rules, stage) = (config.rules(), Stage::new(&config));
        Ok(Self { config, rules, seats: Vec::new(), selection: Selection::default(), stage, arrived: Vec::new() })
    }

    /// How the room mixes.
    pub fn config(&self) -> &RoomConfig {
        &self.config
    }

    /// Take somebody in.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the id is taken, [`Error::TooLarge`] where the room is full.
    pub fn add(&mut self, id: Id) -> Result<()> {
        if self.seats.len() >= self.config.max_participants {
            return Err(seat::full(self.config.max_participants));
        }
        let Err(at) = seat::find(&self.seats, id) else { return Err(seat::already(id)) };
        self.seats.insert(at, Seat::new(id));
        Ok(())
    }

    /// Let somebody go; whether there was anybody of that id.
    pub fn remove(&mut self, id: Id) -> bool {
        let found = seat::find(&self.seats, id);
        if let Ok(at) = found {
            self.seats.remove(at);
        }
        found.is_ok()
    }

    /// How many are in the room.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether somebody of that id is in the room.
    pub fn contains(&self, id: Id) -> bool {
        seat::find(&self.seats, id).is_ok()
    }

    /// Whether nobody is in the room.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Make somebody louder or quieter for all others, 0 to 10; the change is faded.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another gain or an unknown id.
    pub fn set_gain(&mut self, id: Id, gain: f32) -> Result<()> {
        self.seat(id)?.set_gain(gain)
    }

    /// Keep somebody from being heard, or end that. Who is muted goes on hearing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown id.
    pub fn set_muted(&mut self, id: Id, muted: bool) -> Result<()> {
        self.seat(id)?.set_muted(muted);
        Ok(())
    }

    fn seat(&mut self, id: Id) -> Result<&mut Seat> {
        match seat::find(&self.seats, id) {
            Ok(at) => Ok(&mut self.seats[at]),
            Err(_) => Err(seat::unknown(id)),
        }
    }

    /// Mix one tick. Who is not among the inputs is silent; of several inputs of one id the last counts.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown id or an array of another length than a tick; nothing has then changed.
    pub fn tick(&mut self, inputs: &[(Id, &[f32])]) -> Result<()> {
        self.arrived.clear();
        self.arrived.resize(self.seats.len(), None);
        for (index, (id, pcm)) in inputs.iter().enumerate() {
            let at = seat::find(&self.seats, *id).map_err(|_| seat::unknown(*id))?;
            if pcm.len() != self.config.tick_len() {
                let (want, got) = (self.config.tick_len(), pcm.len());
                return Err(Error::unsupported(format!("{got} samples of participant {id}: a tick has {want}")));
            }
            self.arrived[at] = Some(index);
        }
        for (seat, arrived) in self.seats.iter_mut().zip(&self.arrived) {
            let level = arrived.map_or(level::SILENCE, |index| level::dbov(inputs[index].1));
            seat.hear(&self.rules, Some(level), None);
        }
        self.selection.choose(&self.rules, &mut self.seats);
        self.stage.clear();
        for (seat, arrived) in self.seats.iter_mut().zip(&self.arrived) {
            seat.mix(&mut self.stage, arrived.map(|index| (inputs[index].1, false)));
        }
        self.stage.sum();
        self.listen();
        Ok(())
    }

    fn listen(&mut self) {
        for seat in &mut self.seats {
            if seat.lane.as_ref().is_some_and(|lane| self.stage.same(lane)) {
                seat.lane = None;
            }
            if seat.mixed() && seat.lane.is_none() {
                seat.lane = Some(self.stage.fork());
            }
            seat.run_lane(&self.stage);
        }
        self.stage.run();
    }

    /// What a participant hears of the last tick: one's own mix-minus while being heard, the shared mix otherwise.
    pub fn mix(&self, id: Id) -> Option<&[f32]> {
        let seat = &self.seats[seat::find(&self.seats, id).ok()?];
        Some(seat.lane.as_ref().map_or(self.stage.shared(), |lane| lane.pcm()))
    }

    /// What each participant hears of the last tick, in the order of their ids; `None` stands for the shared mix.
    pub fn mixes(&self) -> impl Iterator<Item = (Id, Option<&[f32]>)> {
        self.seats.iter().map(|seat| (seat.id, seat.lane.as_ref().map(|lane| lane.pcm())))
    }

    /// What everybody hears who is not heard: a recorder's view of the room.
    pub fn shared(&self) -> &[f32] {
        self.stage.shared()
    }

    /// Who was heard in the last tick, with their levels in dBov, the loudest first.
    pub fn active(&self) -> Vec<(Id, f32)> {
        seat::active(self.seats.iter())
    }

    /// How long the mix leaves after what went in, in samples of a channel.
    pub fn delay(&self) -> usize {
        self.stage.delay()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: usize = 960;

    fn open(count: u64) -> Mixer {
        let config = RoomConfig {
            loudest: None,
            threshold: -127.0,
            ceiling: 0.0,
            fade_ms: 0.0,
            lookahead_ms: 0.0,
            ..RoomConfig::default()
        };
        let mut mixer = Mixer::new(config).expect("configuration");
        (1..=count).for_each(|id| mixer.add(id).expect("room"));
        mixer
    }

    fn noise(seed: u64, len: usize, amplitude: f32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * amplitude
        };
        // 16 bits, so that sums are exact.
        (0..len).map(|_| (next() * 32_768.0).round() / 32_768.0).collect()
    }

    fn tick(mixer: &mut Mixer, voices: &[Vec<f32>]) {
        let inputs: Vec<_> = voices.iter().enumerate().map(|(n, v)| (n as u64 + 1, v.as_slice())).collect();
        mixer.tick(&inputs).expect("tick");
    }

    #[test]
    fn everybody_hears_exactly_the_others() {
        let mut mixer = open(6);
        for turn in 0..5 {
            let voices: Vec<_> = (0..6).map(|seed| noise(turn * 10 + seed + 1, TICK, 0.15)).collect();
            tick(&mut mixer, &voices);
            for listener in 0..6 {
                let wanted: Vec<f32> = (0..TICK)
                    .map(|n| voices.iter().enumerate().filter(|(who, _)| *who != listener).map(|(_, v)| v[n]).sum())
                    .collect();
                // The first sample is the fade's, which cannot be shorter.
                let skip = usize::from(turn == 0);
                assert_eq!(mixer.mix(listener as u64 + 1).expect("in the room")[skip..], wanted[skip..]);
            }
        }
    }

    #[test]
    fn only_the_loudest_are_mixed() {
        let mut mixer =
            Mixer::new(RoomConfig { loudest: Some(2), lookahead_ms: 0.0, ..RoomConfig::default() }).expect("ok");
        (1..=4).for_each(|id| mixer.add(id).expect("room"));
        let voices: Vec<_> = [0.05, 0.2, 0.1, 0.01].iter().zip(1..).map(|(a, seed)| noise(seed, TICK, *a)).collect();
        for _ in 0..3 {
            tick(&mut mixer, &voices);
        }
        assert_eq!(mixer.active().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(mixer.mix(2), Some(voices[2].as_slice()));
        assert_eq!(mixer.mix(3), Some(voices[1].as_slice()));
        assert_eq!(mixer.mix(1), Some(mixer.shared()));
        assert_eq!(mixer.mix(1), mixer.mix(4));
    }

    #[test]
    fn all_at_full_scale_do_not_clip() {
        let mut mixer = Mixer::new(RoomConfig { loudest: None, ..RoomConfig::default() }).expect("ok");
        (1..=20).for_each(|id| mixer.add(id).expect("room"));
        let ceiling = mixer.config().ceiling_amplitude();
        for turn in 0..50 {
            let voices: Vec<_> = (0..20).map(|seed| noise(turn * 100 + seed + 1, TICK, 1.0)).collect();
            tick(&mut mixer, &voices);
            for id in 1..=20 {
                assert!(mixer.mix(id).expect("in the room").iter().all(|x| x.abs() <= ceiling));
            }
        }
    }

    #[test]
    fn no_listener_hears_a_jump_when_they_begin_or_cease_to_speak() {
        let mut mixer = Mixer::new(RoomConfig { hold_ms: 20, ..RoomConfig::default() }).expect("ok");
        (1..=3).for_each(|id| mixer.add(id).expect("room"));
        let tone = |turn: usize| -> Vec<f32> {
            (0..TICK)
                .map(|n| 0.5 * (std::f32::consts::TAU * 440.0 * (turn * TICK + n) as f32 / 48_000.0).sin())
                .collect()
        };
        let (mut heard, mut spoken) = (Vec::new(), Vec::new());
        for turn in 0..200 {
            // The second says something in every other second; the first always does.
            let mut voices = vec![tone(turn)];
            if turn % 50 > 25 {
                voices.push(noise(turn as u64, TICK, 0.9));
            }
            tick(&mut mixer, &voices);
            heard.extend_from_slice(mixer.mix(2).expect("in the room"));
            spoken.push(mixer.seats[1].lane.is_some());
        }
        assert!(spoken.iter().any(|own| *own) && spoken[20..].iter().any(|own| !*own));
        // They hear the first's tone and nothing else, whatever they do themselves, but for the fade at the start.
        let delay = mixer.delay();
        let sent: Vec<f32> = (0..200).flat_map(tone).collect();
        for n in 2 * TICK..heard.len() {
            assert!((heard[n] - sent[n - delay]).abs() < 0.01, "sample {n}: {} for {}", heard[n], sent[n - delay]);
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_changes_nothing() {
        let mut mixer = open(1);
        assert!(matches!(mixer.add(1), Err(Error::Unsupported(_))));
        assert!(matches!(mixer.tick(&[(7, &[0.0; TICK])]), Err(Error::Unsupported(_))));
        let short = mixer.tick(&[(1, &[0.0; 10])]).expect_err("too short").to_string();
        assert!(short.contains("960"), "{short}");
        assert!(mixer.set_gain(1, f32::NAN).is_err() && mixer.set_gain(2, 1.0).is_err());
        assert!(mixer.remove(1) && !mixer.remove(1) && mixer.is_empty());
        let crowded = Mixer::new(RoomConfig { max_participants: 1, ..RoomConfig::default() });
        let mut crowded = crowded.expect("ok");
        crowded.add(1).expect("room");
        assert!(matches!(crowded.add(2), Err(Error::TooLarge(_))));
        for wrong in [
            RoomConfig { sample_rate: 44_100, ..RoomConfig::default() },
            RoomConfig { channels: 3, ..RoomConfig::default() },
            RoomConfig { tick_ms: 15, ..RoomConfig::default() },
            RoomConfig { ceiling: f32::NAN, ..RoomConfig::default() },
        ] {
            assert!(matches!(Mixer::new(wrong), Err(Error::Unsupported(_))));
        }
    }
}
