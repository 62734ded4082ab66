//! The room.

use super::{
    config::{Input, MixRoomConfig},
    levels::{Arrived, Known},
    phase,
    stats::{Counters, Stats},
    tap::Tap,
    voice::{Deed, Voice},
};
use crate::{
    Error, Result, jitter,
    mixer::{Conference, Id, InputFormat, OutputFormat, Packet},
};

/// A participant.
struct Person {
    id: Id,
    voice: Option<Voice>,
    tap: Option<Tap>,
    listens: bool,
    muted: bool,
    speaking: bool,
    known: Known,
    decoded: u64,
    skipped: u64,
    looked: u64,
}

/// A mixed room with its jitter buffers. See the [module](super).
pub struct MixRoom {
    config: MixRoomConfig,
    conference: Conference,
    /// In the order of their ids.
    people: Vec<Person>,
    changes: Vec<(Id, bool)>,
    listeners: usize,
    counters: Counters,
}

impl MixRoom {
    /// An empty room.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the configuration asks for what there is not.
    pub fn new(config: MixRoomConfig) -> Result<Self> {
        let conference = Conference::new(config.room.clone())?;
        let config = MixRoomConfig {
            jitter: jitter::Config { frame_ms: config.room.tick_ms, ..config.jitter },
            room: config.room,
        };
        super::decoding::check(Input::Rtp(InputFormat::Opus), &config)?;
        Ok(Self {
            config,
            conference,
            people: Vec::new(),
            changes: Vec::new(),
            listeners: 0,
            counters: Counters::default(),
        })
    }

    /// How the room mixes and waits.
    pub fn config(&self) -> &MixRoomConfig {
        &self.config
    }

    /// Take somebody in who sends `input`, or nothing, and wants to hear `output`, or nothing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the id is taken or a format is not there, [`Error::TooLarge`] where the room is full.
    pub fn add(&mut self, id: Id, input: Option<Input>, output: Option<OutputFormat>) -> Result<()> {
        let voice = input.map(|input| Voice::new(input, &self.config)).transpose()?;
        // The conference is given samples only; it makes no decoder for a format of which nothing comes.
        self.conference.add(id, InputFormat::Opus, output)?;
        let at = self.people.partition_point(|person| person.id < id);
        let person = Person {
            id,
            voice,
            tap: None,
            listens: output.is_some(),
            muted: false,
            speaking: false,
            known: Known::SILENCE,
            decoded: 0,
            skipped: 0,
            looked: 0,
        };
        self.people.insert(at, person);
        self.listeners += usize::from(output.is_some());
        Ok(())
    }

    /// Let somebody go; whether there was anybody of that id.
    pub fn remove(&mut self, id: Id) -> bool {
        let Ok(at) = self.find(id) else { return false };
        self.listeners -= usize::from(self.people.remove(at).listens);
        self.conference.remove(id)
    }

    /// How many are in the room.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether nobody is in the room.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Whether somebody of that id is in the room.
    pub fn contains(&self, id: Id) -> bool {
        self.find(id).is_ok()
    }

    /// Take an RTP packet that came at `now_us`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown id or one that sends no RTP, [`Error::Malformed`] or [`Error::TooLarge`] for
    /// a payload that can't be of the format, which changes nothing but a counter.
    pub fn push(&mut self, id: Id, packet: &Arrived<'_>, now_us: i64) -> Result<()> {
        let at = self.find(id)?;
        voice(&mut self.people[at])?.push(packet, now_us, &self.config)
    }

    /// Take interleaved 16-bit little-endian samples, as many as there are. No more than a second of them waits; the
    /// oldest are dropped and counted as late or overflowed.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown id or one that doesn't send samples.
    pub fn push_pcm(&mut self, id: Id, pcm: &[u8], now_us: i64) -> Result<()> {
        let at = self.find(id)?;
        voice(&mut self.people[at])?.push_pcm(pcm, now_us, &self.config)
    }

    /// Take the next packet of somebody who sends packets in order, without RTP.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_packet(&mut self, id: Id, payload: &[u8], now_us: i64) -> Result<()> {
        let at = self.find(id)?;
        voice(&mut self.people[at])?.push_packet(payload, now_us, &self.config)
    }

    /// Change what somebody hears: see [`Conference::set_output`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a format that is not there or an unknown id.
    pub fn set_output(&mut self, id: Id, output: Option<OutputFormat>) -> Result<()> {
        self.conference.set_output(id, output)?;
        let at = self.find(id)?;
        let before = std::mem::replace(&mut self.people[at].listens, output.is_some());
        self.listeners = self.listeners + usize::from(output.is_some()) - usize::from(before);
        Ok(())
    }

    /// Keep somebody from being heard, by taps too, or end that. Who is muted goes on hearing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown id.
    pub fn set_muted(&mut self, id: Id, muted: bool) -> Result<()> {
        self.conference.set_muted(id, muted)?;
        let at = self.find(id)?;
        self.people[at].muted = muted;
        Ok(())
    }

    /// Make somebody louder or quieter for all others, 0 to 10; taps give the sound as it came.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another gain or an unknown id.
    pub fn set_gain(&mut self, id: Id, gain: f32) -> Result<()> {
        self.conference.set_gain(id, gain)
    }

    /// Give somebody's voice apart from now on, mono at 8000, 12 000, 16 000, 24 000 or 48 000 samples a second, each
    /// tick: what was lost is concealed, and where nothing comes, or they are muted, there is silence, so that samples
    /// count the time. `None` ends it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another rate or an unknown id.
    pub fn tap(&mut self, id: Id, sample_rate: Option<u32>) -> Result<()> {
        let at = self.find(id)?;
        self.people[at].tap = sample_rate.map(|rate| Tap::new(rate, &self.config.room)).transpose()?;
        Ok(())
    }

    /// Whether somebody hears anything, so that ticks make a difference.
    pub fn needs_ticks(&self) -> bool {
        self.listeners > 0 || self.people.iter().any(|person| person.tap.is_some())
    }

    /// Mix one tick. To be called every [`tick_ms`](crate::mixer::RoomConfig::tick_ms).
    ///
    /// # Errors
    /// None that input could cause.
    pub fn tick(&mut self, now_us: i64) -> Result<()> {
        self.judge(now_us)?;
        self.hear(now_us)?;
        let people = &self.people;
        self.conference.mix_samples(|id| {
            let at = people.binary_search_by_key(&id, |person| person.id).ok()?;
            people[at].voice.as_ref()?.pcm()
        })?;
        self.counters.mixer = self.conference.counters();
        Ok(())
    }

    /// Learns how loud everybody is, and chooses.
    fn judge(&mut self, now_us: i64) -> Result<()> {
        let (ticks, probe) = (self.conference.counters().ticks, u64::from(self.config.room.probe_ticks));
        for (index, person) in self.people.iter_mut().enumerate() {
            let Some(voice) = &mut person.voice else { continue };
            person.known = voice.begin();
            let deed = match &person.tap {
                Some(_) if !person.muted => Deed::Decode,
                _ if person.muted => Deed::Skip,
                _ => {
                    let heard = self.conference.wants(person.id) && self.listeners > usize::from(person.listens);
                    // Not all are looked at in the same tick.
                    voice.early(person.known, heard, person.speaking, ticks + index as u64, probe)
                }
            };
            if deed != Deed::Skip {
                voice.pass(deed, now_us)?;
            }
            person.known.level = person.known.level.or(voice.measured());
        }
        let people = &self.people;
        self.conference.choose(|id| {
            let found = people.binary_search_by_key(&id, |person| person.id);
            found.map_or((None, None), |at| (people[at].known.level, people[at].known.voice))
        });
        self.changes.clear();
        for person in &mut self.people {
            let speaks = self.conference.talker(person.id).is_some_and(crate::mixer::select::Talker::speaking);
            if std::mem::replace(&mut person.speaking, speaks) != speaks {
                self.changes.push((person.id, speaks));
            }
        }
        Ok(())
    }

    /// Decodes who is to be heard, and lets the others' time pass.
    fn hear(&mut self, now_us: i64) -> Result<()> {
        for person in &mut self.people {
            if let Some(voice) = &mut person.voice {
                let others = self.listeners > usize::from(person.listens);
                let deed = if others && self.conference.wants(person.id) { Deed::Decode } else { Deed::Skip };
                voice.pass(deed, now_us)?;
                let (own, all) = match voice.done() {
                    Some(Deed::Decode) => (&mut person.decoded, &mut self.counters.decoded_ticks),
                    Some(Deed::Look) => (&mut person.looked, &mut self.counters.looked_ticks),
                    _ => (&mut person.skipped, &mut self.counters.skipped_ticks),
                };
                (*own, *all) = (*own + 1, *all + 1);
            }
            if let Some(tap) = &mut person.tap {
                let pcm = person.voice.as_ref().and_then(Voice::pcm);
                tap.take(if person.muted { None } else { pcm });
            }
        }
        Ok(())
    }

    /// The packets of the last tick, in the order of the listeners' ids.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.conference.packets()
    }

    /// Who is tapped, with the samples of the last tick.
    pub fn tapped(&self) -> impl Iterator<Item = (Id, &[i16])> {
        self.people.iter().filter_map(|person| {
            let pcm = person.tap.as_ref()?.pcm();
            (!pcm.is_empty()).then_some((person.id, pcm))
        })
    }

    /// Who began to speak with the last tick, or ceased. Who was removed while speaking is not named again.
    pub fn changes(&self) -> &[(Id, bool)] {
        &self.changes
    }

    /// Who speaks, heard or not, with their levels in dBov.
    pub fn speaking(&self) -> impl Iterator<Item = (Id, f32)> {
        self.people.iter().filter(|person| person.speaking).map(|person| (person.id, self.level(person.id)))
    }

    /// Who was heard in the last tick, with their levels in dBov: RTP's contributing sources.
    pub fn active(&self) -> impl Iterator<Item = (Id, f32)> {
        let talkers = self.people.iter().filter_map(|person| Some((person.id, self.conference.talker(person.id)?)));
        talkers.filter(|(_, talker)| talker.chosen()).map(|(id, talker)| (id, talker.level()))
    }

    fn level(&self, id: Id) -> f32 {
        self.conference.talker(id).map_or(crate::mixer::level::SILENCE, crate::mixer::select::Talker::level)
    }

    /// By how many microseconds ticks should come later, or earlier where it is negative, for the least mean delay of those
    /// who speak: at best right after their packets. 0 where that makes no difference worth it. A caller that ticks this
    /// room by itself moves its ticks there by small steps, of [`SHIFT_US`](super::SHIFT_US) at most; one that ticks many
    /// rooms at once may leave it.
    pub fn best_shift(&self) -> i64 {
        let speaking = self.people.iter().filter(|person| person.speaking);
        let slack = speaking.filter_map(|person| person.voice.as_ref()?.buffer()?.slack());
        phase::best_shift(slack, i64::from(self.config.room.tick_ms) * 1_000)
    }

    /// The shared mix of the last tick: what everybody hears who is not heard. A recorder's view of the room.
    pub fn shared(&self) -> &[f32] {
        self.conference.shared()
    }

    /// How somebody's stream stands; `None` where nobody has that id.
    pub fn stats(&self, id: Id) -> Option<Stats> {
        let person = &self.people[self.find(id).ok()?];
        let talker = self.conference.talker(id)?;
        Some(Stats {
            jitter: person.voice.as_ref().and_then(Voice::buffer).map(jitter::JitterBuffer::stats),
            level: talker.level(),
            speaking: person.speaking,
            heard: talker.chosen(),
            decoded_ticks: person.decoded,
            skipped_ticks: person.skipped,
            looked_ticks: person.looked,
        })
    }

    /// What was done so far, by all who are in the room or have been.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn find(&self, id: Id) -> Result<usize> {
        let found = self.people.binary_search_by_key(&id, |person| person.id);
        found.map_err(|_| Error::unsupported(format!("participant {id} is not in the room")))
    }
}

fn voice(person: &mut Person) -> Result<&mut Voice> {
    let id = person.id;
    person.voice.as_mut().ok_or_else(|| Error::unsupported(format!("participant {id} sends nothing")))
}
