//! One participant as the mix sees them.

use super::{
    Id,
    select::{Rules, Talker},
    stage::{Lane, Stage},
};
use crate::{Error, Result};

/// Most a voice may be made louder: 20 dB.
const MAX_GAIN: f32 = 10.0;

/// What a participant brings to the sums, and the lane they hear while they are part of them.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) id: Id,
    pub(super) talker: Talker,
    /// Hears something else than the shared mix; `None` for all others.
    pub(super) lane: Option<Lane>,
    gain: f32,
    muted: bool,
    /// The gain at which the last tick ended.
    now: f32,
    place: Option<usize>,
}

impl AsMut<Talker> for Seat {
    fn as_mut(&mut self) -> &mut Talker {
        &mut self.talker
    }
}

impl AsRef<Seat> for Seat {
    fn as_ref(&self) -> &Seat {
        self
    }
}

impl Seat {
    pub(super) fn new(id: Id) -> Self {
        Self { id, talker: Talker::default(), lane: None, gain: 1.0, muted: false, now: 0.0, place: None }
    }

    pub(super) fn set_gain(&mut self, gain: f32) -> Result<()> {
        if !(0.0..=MAX_GAIN).contains(&gain) {
            return Err(Error::unsupported(format!("gain {gain}: 0 to {MAX_GAIN}")));
        }
        self.gain = gain;
        Ok(())
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Whether anything of this participant can be heard at all.
    pub(super) fn audible(&self) -> bool {
        !self.muted && self.gain > 0.0
    }

    /// Take the level of a tick; who cannot be heard is not speaking.
    pub(super) fn hear(&mut self, rules: &Rules, level: Option<f32>, voice: Option<bool>) {
        if self.audible() {
            self.talker.hear(rules, level, voice);
        } else {
            self.talker.silence();
        }
    }

    /// Whether this tick's samples are needed: to be mixed, or to fade out.
    pub(super) fn wanted(&self) -> bool {
        self.talker.chosen() || self.now > 0.0
    }

    /// Put this tick's samples into the sums, fading out if they are the last. Without any, the voice is out at once.
    pub(super) fn mix(&mut self, stage: &mut Stage, pcm: Option<(&[f32], bool)>) {
        self.place = None;
        let before = std::mem::take(&mut self.now);
        let Some((pcm, last)) = pcm else { return };
        self.now = if self.talker.chosen() && !last { self.gain } else { 0.0 };
        if before > 0.0 || self.now > 0.0 {
            self.place = Some(stage.add(pcm, before, self.now));
        }
    }

    /// Whether the shared mix of this tick holds this participant's voice.
    pub(super) fn mixed(&self) -> bool {
        self.place.is_some()
    }

    /// Give the lane this tick's sound.
    pub(super) fn run_lane(&mut self, stage: &Stage) {
        if let Some(lane) = &mut self.lane {
            stage.run_lane(lane, self.place);
        }
    }
}

/// Where the participant sits among seats in the order of their ids, or where they would.
pub(super) fn find<S: AsRef<Seat>>(seats: &[S], id: Id) -> std::result::Result<usize, usize> {
    seats.binary_search_by_key(&id, |seat| seat.as_ref().id)
}

/// Who is heard, with their levels in dBov, the loudest first.
pub(super) fn active<'s>(seats: impl Iterator<Item = &'s Seat>) -> Vec<(Id, f32)> {
    let mut heard: Vec<_> = seats.filter(|seat| seat.talker.chosen()).collect();
    heard.sort_by(|a, b| b.talker.smoothed().total_cmp(&a.talker.smoothed()));
    heard.iter().map(|seat| (seat.id, seat.talker.level())).collect()
}

pub(super) fn unknown(id: Id) -> Error {
    Error::unsupported(format!("participant {id} is not in the room"))
}

pub(super) fn already(id: Id) -> Error {
    Error::unsupported(format!("participant {id} is in the room already"))
}

pub(super) fn full(most: usize) -> Error {
    Error::TooLarge(format!("the room is full: max_participants is {most}"))
}
