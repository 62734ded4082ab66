//! Who speaks in a room and whom a listener with few streams hears.

use antiphon_core::mixer::{
    Hint, opus_hint,
    select::{Rules, Selection, Talker},
};

use crate::MemberId;

/// A speaker of whom nothing came for so long is silent.
const SILENT_AFTER: i64 = 200_000;
/// A packet's level where its sender tells none and the codec shows only whether there is voice, in dBov.
const VOICE: f32 = -30.0;
const NO_VOICE: f32 = -90.0;

/// Levels of a room's speakers, looked at once a tick.
#[derive(Debug)]
pub(crate) struct Speakers {
    rules: Rules,
    selection: Selection,
    people: Vec<Speaker>,
}

#[derive(Debug)]
struct Speaker {
    id: MemberId,
    talker: Talker,
    muted: bool,
    /// The loudest level since the last tick.
    level: Option<f32>,
    voice: Option<bool>,
    heard_at: i64,
    told: bool,
}

impl AsMut<Talker> for Speaker {
    fn as_mut(&mut self) -> &mut Talker {
        &mut self.talker
    }
}

impl Speakers {
    /// `tick_ms` is the time between two calls of [`Self::tick`].
    pub(crate) fn new(loudest: usize, tick_ms: u32) -> Self {
        let ticks = |ms: u32| ms.div_ceil(tick_ms);
        let rules = Rules {
            loudest,
            threshold: -50.0,
            hysteresis: 6.0,
            hold: ticks(400),
            margin: 6.0,
            tenure: ticks(300),
            attack: 20.0 / tick_ms as f32,
            release: 200.0 / tick_ms as f32,
        };
        Self { rules, selection: Selection::default(), people: Vec::new() }
    }

    pub(crate) fn add(&mut self, id: MemberId) {
        let (talker, level, voice) = (Talker::default(), None, None);
        self.people.push(Speaker { id, talker, muted: false, level, voice, heard_at: i64::MIN / 2, told: false });
    }

    pub(crate) fn remove(&mut self, id: MemberId) {
        self.people.retain(|speaker| speaker.id != id);
    }

    pub(crate) fn mute(&mut self, id: MemberId, muted: bool) {
        for speaker in self.people.iter_mut().filter(|speaker| speaker.id == id) {
            speaker.muted = muted;
            speaker.talker.silence();
        }
    }

    /// Who may be heard at all.
    pub(crate) fn ids(&self) -> impl Iterator<Item = MemberId> + Clone {
        self.people.iter().filter(|speaker| !speaker.muted).map(|speaker| speaker.id)
    }

    /// Takes what is known of a packet's loudness: the level of RFC 6464 in −dBov, or else what its codec shows.
    pub(crate) fn hear(&mut self, id: MemberId, level: Option<u8>, voice: Option<bool>, payload: &[u8], now: i64) {
        let Some(speaker) = self.people.iter_mut().find(|speaker| speaker.id == id) else { return };
        let level = level.map_or_else(|| guess(payload), |level| -f32::from(level.min(127)));
        speaker.level = Some(speaker.level.map_or(level, |before| before.max(level)));
        speaker.voice = if voice == Some(true) { voice } else { speaker.voice.or(voice) };
        speaker.heard_at = now;
    }

    /// Decides anew; who has begun or ceased to speak goes to `changed`.
    pub(crate) fn tick(&mut self, now: i64, mut changed: impl FnMut(MemberId, bool)) {
        for speaker in &mut self.people {
            let silent = (now - speaker.heard_at > SILENT_AFTER).then_some(-127.0);
            let level = if speaker.muted { None } else { speaker.level.take().or(silent) };
            speaker.talker.hear(&self.rules, level, speaker.voice.take());
        }
        self.selection.choose(&self.rules, &mut self.people);
        for speaker in &mut self.people {
            if speaker.talker.speaking() != speaker.told {
                speaker.told = speaker.talker.speaking();
                changed(speaker.id, speaker.told);
            }
        }
    }

    /// The loudest who speak, the loudest first.
    pub(crate) fn chosen(&self, out: &mut Vec<MemberId>) {
        out.clear();
        out.extend(self.people.iter().filter(|speaker| speaker.talker.chosen()).map(|speaker| speaker.id));
        let loudness = |id: &MemberId| {
            self.people.iter().find(|speaker| speaker.id == *id).map_or(-127.0, |speaker| speaker.talker.smoothed())
        };
        out.sort_by(|a, b| loudness(b).total_cmp(&loudness(a)));
    }
}

fn guess(payload: &[u8]) -> f32 {
    match opus_hint(payload) {
        Hint::Voice | Hint::Unknown => VOICE,
        Hint::Quiet | Hint::Silent => NO_VOICE,
    }
}

/// Puts speakers on a listener's streams: who is on one stays there, a new one takes the place of somebody who has
/// ceased. Whether anything changed.
///
/// Where there are no more `present` than streams, everybody has one, speaking or not.
pub(crate) fn assign(
    slots: &mut [Option<MemberId>],
    listener: MemberId,
    present: impl Iterator<Item = MemberId> + Clone,
    chosen: &[MemberId],
) -> bool {
    let present = present.filter(|id| *id != listener);
    let mut changed = false;
    for slot in slots.iter_mut() {
        if slot.is_some_and(|id| !present.clone().any(|other| other == id)) {
            (*slot, changed) = (None, true);
        }
    }
    let everybody = present.clone().count() <= slots.len();
    let mut put = |id: MemberId| {
        if slots.contains(&Some(id)) {
            return;
        }
        let free = slots
            .iter()
            .position(Option::is_none)
            .or_else(|| slots.iter().position(|slot| slot.is_some_and(|holder| !chosen.contains(&holder))));
        if let Some(at) = free {
            (slots[at], changed) = (Some(id), true);
        }
    };
    if everybody {
        present.for_each(&mut put);
    } else {
        chosen.iter().copied().filter(|id| *id != listener).for_each(&mut put);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fits_has_a_stream_at_once() {
        let mut slots = [None, None];
        assert!(assign(&mut slots, 1, [1, 2, 3].into_iter(), &[]));
        assert_eq!(slots, [Some(2), Some(3)]);
        assert!(!assign(&mut slots, 1, [1, 2, 3].into_iter(), &[3]));
    }

    #[test]
    fn the_loudest_takes_the_place_of_one_who_has_ceased() {
        let mut slots = [Some(2), Some(3)];
        assert!(assign(&mut slots, 1, [1, 2, 3, 4].into_iter(), &[4, 3]));
        assert_eq!(slots, [Some(4), Some(3)]);
        assert!(!assign(&mut slots, 1, [1, 2, 3, 4].into_iter(), &[3, 4]), "who is on a stream stays there");
    }

    #[test]
    fn who_leaves_frees_a_stream() {
        let mut slots = [Some(4)];
        assert!(assign(&mut slots, 1, [1, 2, 3].into_iter(), &[]));
        assert_eq!(slots, [None]);
    }

    #[test]
    fn speaking_begins_with_a_loud_packet_and_ends_after_a_while() {
        let mut speakers = Speakers::new(3, 20);
        speakers.add(5);
        let mut told = Vec::new();
        for tick in 0..10 {
            speakers.hear(5, Some(20), Some(true), &[], tick * 20_000);
            speakers.tick(tick * 20_000, |id, active| told.push((id, active)));
        }
        assert_eq!(told, [(5, true)]);
        for tick in 10..100 {
            speakers.tick(tick * 20_000, |id, active| told.push((id, active)));
        }
        assert_eq!(told, [(5, true), (5, false)]);
    }

    #[test]
    fn a_muted_speaker_is_not_chosen() {
        let mut speakers = Speakers::new(3, 20);
        speakers.add(5);
        speakers.mute(5, true);
        speakers.hear(5, Some(10), None, &[], 0);
        speakers.tick(0, |_, _| panic!("nobody speaks"));
        let mut chosen = vec![1];
        speakers.chosen(&mut chosen);
        assert!(chosen.is_empty());
    }
}
