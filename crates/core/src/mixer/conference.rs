//! The mixer for packets: a room's tick.

use super::{
    Id,
    config::RoomConfig,
    format::{InputFormat, OutputFormat},
    participant::{Group, Own, Participant},
    seat,
    select::{Rules, Selection, Talker},
    source::Input,
    splice::Follower,
    stage::Stage,
    stream::Stream,
};
use crate::{Error, Result};

/// What a room has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ticks mixed.
    pub ticks: u64,
    /// Packets decoded to be heard or to learn their level; those heard only to decide on a splice are not counted.
    pub decoded: u64,
    /// Packets made by an encoder; a shared one counts once.
    pub encoded: u64,
    /// Packets that could not be decoded.
    pub malformed: u64,
    /// Ticks of a participant that were concealed or recovered.
    pub concealed: u64,
    /// Samples thrown away because a participant sent more than a tick holds, for long.
    pub dropped: u64,
    /// Listeners who left their own stream for the shared one.
    pub rejoined: u64,
}

/// A packet for a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// For whom.
    pub id: Id,
    /// In the listener's format. Of an Opus stream with DTX, two bytes or fewer need not be sent.
    pub payload: &'a [u8],
    /// Equal for all who are given the same packet of a shared stream; `None` for one that only this listener gets.
    pub shared: Option<usize>,
}

/// Mixes packets: what arrived of each participant in, the packet for each listener out.
///
/// An encoder is run once for all who hear the same mix in the same format, and once for each who is heard and so hears
/// a mix without their own voice. Who begins to speak goes on with a copy of the shared encoder; who has ceased returns
/// to the shared stream once that cannot be heard (see [`Counters::rejoined`]). Where nobody is left in the shared
/// stream it rests, and the first to return makes their own stream the shared one.
#[derive(Debug)]
pub struct Conference {
    config: RoomConfig,
    rules: Rules,
    people: Vec<Participant>,
    groups: Vec<Group>,
    selection: Selection,
    stage: Stage,
    counters: Counters,
}

impl Conference {
    /// An empty room.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the configuration asks for what there is not.
    pub fn new(config: RoomConfig) -> Result<Self> {
        let config = config.checked()?;
        Ok(Self {
            rules: config.rules(),
            stage: Stage::new(&config),
            config,
            people: Vec::new(),
            groups: Vec::new(),
            selection: Selection::default(),
            counters: Counters::default(),
        })
    }

    /// How the room mixes.
    pub fn config(&self) -> &RoomConfig {
        &self.config
    }

    /// Take somebody in who sends `input` and wants to hear `output`, or to hear nothing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the id is taken or a format is not there, [`Error::TooLarge`] where the room is
    /// full.
    pub fn add(&mut self, id: Id, input: InputFormat, output: Option<OutputFormat>) -> Result<()> {
        if self.people.len() >= self.config.max_participants {
            return Err(seat::full(self.config.max_participants));
        }
        let Err(at) = seat::find(&self.people, id) else { return Err(seat::already(id)) };
        let output = output.map(|output| output.checked(&self.config)).transpose()?;
        self.people.insert(at, Participant::new(id, input, output, &self.config)?);
        Ok(())
    }

    /// Let somebody go; whether there was anybody of that id.
    pub fn remove(&mut self, id: Id) -> bool {
        let found = seat::find(&self.people, id);
        if let Ok(at) = found {
            self.people.remove(at);
        }
        found.is_ok()
    }

    /// Whether somebody of that id is in the room.
    pub fn contains(&self, id: Id) -> bool {
        seat::find(&self.people, id).is_ok()
    }

    /// How many are in the room.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether nobody is in the room.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Make somebody louder or quieter for all others, 0 to 10; the change is faded.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another gain or an unknown id.
    pub fn set_gain(&mut self, id: Id, gain: f32) -> Result<()> {
        self.person(id)?.seat.set_gain(gain)
    }

    /// Keep somebody from being heard, or end that. Who is muted goes on hearing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown id.
    pub fn set_muted(&mut self, id: Id, muted: bool) -> Result<()> {
        self.person(id)?.seat.set_muted(muted);
        Ok(())
    }

    /// Change what somebody hears. Where only settings of a running Opus encoder differ (bitrate, complexity, DTX, FEC,
    /// expected loss, DRED where there was some before) the sound goes on without a seam, and joins others of the new format as somebody does who
    /// has ceased to speak. The fewer formats there are in a room, the more listeners share an encoder: take bitrates
    /// from a short ladder.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a format that is not there or an unknown id.
    pub fn set_output(&mut self, id: Id, output: Option<OutputFormat>) -> Result<()> {
        let output = output.map(|output| output.checked(&self.config)).transpose()?;
        let Ok(at) = seat::find(&self.people, id) else { return Err(seat::unknown(id)) };
        let person = &mut self.people[at];
        let before = std::mem::replace(&mut person.output, output);
        if before == output {
            return Ok(());
        }
        person.group = None;
        let own = person.own.take().map(|own| own.stream);
        let shared = || self.groups.iter().find(|group| Some(group.format) == before)?.stream.as_ref();
        let heard = own.as_ref().or_else(shared);
        person.own = heard.zip(output).and_then(|(heard, output)| heard.retuned(output)).map(Own::new);
        Ok(())
    }

    fn person(&mut self, id: Id) -> Result<&mut Participant> {
        match seat::find(&self.people, id) {
            Ok(at) => Ok(&mut self.people[at]),
            Err(_) => Err(seat::unknown(id)),
        }
    }

    fn group(&mut self, format: OutputFormat) -> usize {
        self.groups.iter().position(|group| group.format == format).unwrap_or_else(|| {
            self.groups.push(Group::new(format));
            self.groups.len() - 1
        })
    }

    /// Mix one tick. Who is not among the inputs sent nothing; there may be several inputs of one id, in their order.
    /// A packet that cannot be decoded counts as lost.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown id or samples of another length than a tick; nothing has then changed.
    pub fn tick(&mut self, inputs: &[(Id, Input<'_>)]) -> Result<()> {
        self.check(inputs)?;
        self.people.iter_mut().for_each(|person| person.source.begin());
        for (id, input) in inputs {
            if let Ok(at) = seat::find(&self.people, *id) {
                self.people[at].source.arrive(*input, &mut self.counters);
            }
        }
        self.select()?;
        self.mix()?;
        self.finish()
    }

    /// The first half of a tick for a caller who decodes: choose who is heard. `known` tells of each participant the
    /// level in dBov and whether it is voice, as far as either is known; nothing need be decoded for that.
    pub fn choose(&mut self, mut known: impl FnMut(Id) -> (Option<f32>, Option<bool>)) {
        for person in &mut self.people {
            let (level, voice) = known(person.seat.id);
            person.seat.hear(&self.rules, level, voice);
        }
        self.selection.choose(&self.rules, &mut self.people);
    }

    /// Whether this participant's samples are needed in the second half of the tick: to be heard, or to fade out.
    pub fn wants(&self, id: Id) -> bool {
        seat::find(&self.people, id).is_ok_and(|at| self.people[at].seat.wanted())
    }

    /// The second half of a tick: mix the samples of those who are wanted, a tick of the room's rate and channels each,
    /// and make everybody's packets. Who is wanted and has no samples is silent.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for samples of another length than a tick; nothing has then changed.
    pub fn mix_samples<'p>(&mut self, samples: impl Fn(Id) -> Option<&'p [f32]>) -> Result<()> {
        let want = self.config.tick_len();
        for person in self.people.iter().filter(|person| person.seat.wanted()) {
            if let Some(got) = samples(person.seat.id).map(<[f32]>::len).filter(|got| *got != want) {
                let id = person.seat.id;
                return Err(Error::unsupported(format!("{got} samples of participant {id}: a tick has {want}")));
            }
        }
        self.stage.clear();
        for person in &mut self.people {
            let pcm = if person.seat.wanted() { samples(person.seat.id) } else { None };
            person.seat.mix(&mut self.stage, pcm.map(|pcm| (pcm, false)));
        }
        self.stage.sum();
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        self.listen();
        self.encode()?;
        self.rejoin()?;
        self.counters.ticks += 1;
        Ok(())
    }

    fn check(&self, inputs: &[(Id, Input<'_>)]) -> Result<()> {
        for (id, input) in inputs {
            seat::find(&self.people, *id).map_err(|_| seat::unknown(*id))?;
            if let Input::Pcm(pcm) = input
                && pcm.len() != self.config.tick_len()
            {
                let (want, got) = (self.config.tick_len(), pcm.len());
                return Err(Error::unsupported(format!("{got} samples of participant {id}: a tick has {want}")));
            }
        }
        Ok(())
    }

    fn select(&mut self) -> Result<()> {
        let probe = u64::from(self.config.probe_ticks);
        for (index, person) in self.people.iter_mut().enumerate() {
            let (heard, speaking) = (person.seat.wanted(), person.seat.talker.speaking());
            let (level, voice) = if person.seat.audible() {
                // Not all in the same tick.
                let turn = self.counters.ticks + index as u64;
                person.source.level(heard, speaking, turn, probe, &mut self.counters)?
            } else {
                (None, None)
            };
            person.seat.hear(&self.rules, level, voice);
        }
        self.selection.choose(&self.rules, &mut self.people);
        Ok(())
    }

    fn mix(&mut self) -> Result<()> {
        self.stage.clear();
        for person in &mut self.people {
            let produced = if person.seat.wanted() {
                person.source.produce(&mut self.counters)?
            } else {
                person.source.skip();
                None
            };
            person.seat.mix(&mut self.stage, produced);
        }
        self.stage.sum();
        Ok(())
    }

    /// Give everybody their lane and stream, before the shared mix goes on: who parts from it takes it as it is.
    fn listen(&mut self) {
        for group in &mut self.groups {
            (group.sharing, group.returning) = (0, 0);
        }
        for index in 0..self.people.len() {
            let Some(format) = self.people[index].output else {
                (self.people[index].seat.lane, self.people[index].own) = (None, None);
                continue;
            };
            let at = self.group(format);
            let (person, group) = (&mut self.people[index], &mut self.groups[at]);
            person.group = Some(at);
            person.part(&self.stage, group);
            person.seat.run_lane(&self.stage);
        }
    }

    fn encode(&mut self) -> Result<()> {
        let ticks = self.counters.ticks;
        for person in &mut self.people {
            let (Some(format), Some(lane)) = (person.output, &mut person.seat.lane) else { continue };
            if person.own.is_none() {
                // There was no shared stream to part from: this listener has not heard anything yet.
                let stream = Stream::new(format, &self.config, ticks)?;
                person.own = Some(Own::new(stream));
            }
            if let Some(own) = &mut person.own {
                self.counters.encoded += u64::from(own.stream.push(lane.pcm())?);
            }
            lane.rest();
        }
        self.stage.run();
        for group in &mut self.groups {
            if group.sharing == 0 {
                (group.stream, group.follower) = (None, None);
                continue;
            }
            if group.stream.is_none() {
                group.stream = Some(Stream::new(group.format, &self.config, ticks)?);
            }
            if let Some(stream) = &mut group.stream {
                self.counters.encoded += u64::from(stream.push(self.stage.shared())?);
            }
        }
        let mut index = 0;
        self.groups.retain(|group| {
            index += 1;
            group.stream.is_some() || self.people.iter().any(|person| person.group == Some(index - 1))
        });
        self.regroup();
        Ok(())
    }

    /// Places of groups change where one has gone.
    fn regroup(&mut self) {
        for person in &mut self.people {
            person.group = person.output.and_then(|format| self.groups.iter().position(|group| group.format == format));
        }
    }

    /// Let those go over to the shared stream who would not hear it.
    fn rejoin(&mut self) -> Result<()> {
        for group in &mut self.groups {
            let Some(packet) = group.stream.as_ref().and_then(Stream::packet) else { continue };
            if group.returning == 0 {
                group.follower = None;
                continue;
            }
            if group.follower.is_none() {
                group.follower = Follower::new(group.format)?;
            }
            if let Some(follower) = &mut group.follower {
                follower.hear(packet)?;
            }
        }
        for person in &mut self.people {
            let Some(group) = person.group.map(|at| &self.groups[at]) else { continue };
            let Some(stream) = &group.stream else {
                person.own.iter_mut().for_each(|own| own.set_returning(false));
                continue;
            };
            let Some(packet) = stream.packet() else { continue };
            if person.returns(group.follower.as_ref(), packet)? {
                (person.own, person.seat.lane) = (None, None);
                self.counters.rejoined += 1;
            }
        }
        Ok(())
    }

    /// The packets of the last tick, in the order of the listeners' ids; who has no packet due is left out.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.people.iter().filter_map(|person| {
            let (stream, shared) = match (&person.own, person.group) {
                (Some(own), _) => (Some(&own.stream), None),
                (None, Some(at)) => (self.groups[at].stream.as_ref(), Some(at)),
                (None, None) => (None, None),
            };
            let payload = stream?.packet()?;
            Some(Packet { id: person.seat.id, payload, shared })
        })
    }

    /// The shared mix of the last tick: what everybody hears who is not heard. A recorder's view of the room.
    pub fn shared(&self) -> &[f32] {
        self.stage.shared()
    }

    /// Who was heard in the last tick, with their levels in dBov, the loudest first: RTP's contributing sources.
    pub fn active(&self) -> Vec<(Id, f32)> {
        seat::active(self.people.iter().map(|person| &person.seat))
    }

    /// Whether somebody speaks, heard or not, and at what level in dBov; `None` where nobody has that id.
    pub fn talker(&self, id: Id) -> Option<&Talker> {
        Some(&self.people[seat::find(&self.people, id).ok()?].seat.talker)
    }

    /// How many listeners have an encoder of their own now: those who are heard, and those about to return.
    pub fn own_streams(&self) -> usize {
        self.people.iter().filter(|person| person.own.is_some()).count()
    }

    /// How many encoders are shared now.
    pub fn shared_streams(&self) -> usize {
        self.groups.iter().filter(|group| group.stream.is_some()).count()
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
