//! Who is heard: the loudest of those who speak, without flapping.

use super::level::SILENCE;

/// How speakers are told from the others, and when one takes another's place.
///
/// Levels are in dBov, times in ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Most who are heard at once.
    pub loudest: usize,
    /// From this level on somebody speaks.
    pub threshold: f32,
    /// Somebody who speaks goes on speaking until the level is this much under the threshold …
    pub hysteresis: f32,
    /// … for so long.
    pub hold: u32,
    /// A challenger must be this much louder than the quietest who is heard.
    pub margin: f32,
    /// Nobody who is still speaking is displaced before having been heard for so long.
    pub tenure: u32,
    /// The level rises to a new one by 63 % in so many ticks.
    pub attack: f32,
    /// The level falls to a new one by 63 % in so many ticks.
    pub release: f32,
}

/// What is known of one participant's voice.
#[derive(Debug, Clone)]
pub struct Talker {
    smoothed: f32,
    last: f32,
    speaking: bool,
    quiet: u32,
    chosen: bool,
    heard: u32,
}

impl Default for Talker {
    fn default() -> Self {
        Self { smoothed: SILENCE, last: SILENCE, speaking: false, quiet: 0, chosen: false, heard: 0 }
    }
}

impl Talker {
    /// Take this tick's level, or `None` where nothing is known of it, and what the sender says of voice in it.
    ///
    /// A sender who says that there is no voice does not begin to speak, however loud; one who says nothing is judged
    /// by the level alone.
    pub fn hear(&mut self, rules: &Rules, level: Option<f32>, voice: Option<bool>) {
        let Some(level) = level else { return };
        self.last = level;
        let time = if level > self.smoothed { rules.attack } else { rules.release };
        self.smoothed += (level - self.smoothed) * (1.0 - (-1.0 / time.max(1e-3)).exp());
        let begins = level >= rules.threshold && voice != Some(false);
        let continues = level >= rules.threshold - rules.hysteresis && voice != Some(false);
        if begins || (self.speaking && continues) {
            self.speaking = true;
            self.quiet = 0;
        } else if self.speaking {
            self.quiet += 1;
            self.speaking = self.quiet <= rules.hold;
        }
    }

    /// Forget everything, at once: the participant was muted.
    pub fn silence(&mut self) {
        *self = Self::default();
    }

    /// The level of this tick in dBov.
    pub fn level(&self) -> f32 {
        self.last
    }

    /// The level by which speakers are compared, in dBov.
    pub fn smoothed(&self) -> f32 {
        self.smoothed
    }

    /// Whether this participant speaks, heard or not.
    pub fn speaking(&self) -> bool {
        self.speaking
    }

    /// Whether this participant is among the loudest and so is heard.
    pub fn chosen(&self) -> bool {
        self.chosen
    }
}

/// Chooses the loudest; kept between ticks only for its memory.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    ranked: Vec<(usize, f32)>,
}

impl Selection {
    /// Mark the loudest of `people` as chosen, at most [`Rules::loudest`] of them.
    ///
    /// Who is heard stays so while speaking, unless somebody else is louder by [`Rules::margin`] and
    /// [`Rules::tenure`] is over. Equals keep the order in which they are given.
    pub fn choose<P: AsMut<Talker>>(&mut self, rules: &Rules, people: &mut [P]) {
        self.ranked.clear();
        for (index, person) in people.iter_mut().enumerate() {
            let talker = person.as_mut();
            if !talker.speaking {
                (talker.chosen, talker.heard) = (false, 0);
                continue;
            }
            let bonus = match talker.chosen {
                // Above every level there is.
                true if talker.heard < rules.tenure => 1000.0,
                true => rules.margin,
                false => 0.0,
            };
            self.ranked.push((index, talker.smoothed + bonus));
        }
        // By the place too, as a stable sort would, which needs memory.
        self.ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for (rank, &(index, _)) in self.ranked.iter().enumerate() {
            let talker = people[index].as_mut();
            talker.chosen = rank < rules.loudest;
            talker.heard = if talker.chosen { talker.heard.saturating_add(1) } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Person(Talker);

    impl AsMut<Talker> for Person {
        fn as_mut(&mut self) -> &mut Talker {
            &mut self.0
        }
    }

    fn rules(loudest: usize) -> Rules {
        Rules {
            loudest,
            threshold: -50.0,
            hysteresis: 6.0,
            hold: 20,
            margin: 6.0,
            tenure: 15,
            attack: 2.0,
            release: 15.0,
        }
    }

    fn tick(rules: &Rules, people: &mut [Person], levels: &[f32]) -> Vec<usize> {
        for (person, level) in people.iter_mut().zip(levels) {
            person.0.hear(rules, Some(*level), None);
        }
        Selection::default().choose(rules, people);
        (0..people.len()).filter(|i| people[*i].0.chosen()).collect()
    }

    fn room(count: usize) -> Vec<Person> {
        (0..count).map(|_| Person(Talker::default())).collect()
    }

    #[test]
    fn the_loudest_are_heard_and_only_speakers() {
        let (rules, mut people) = (rules(3), room(6));
        assert_eq!(tick(&rules, &mut people, &[-30.0, -60.0, -20.0, -40.0, -25.0, -90.0]), [0, 2, 4]);
        assert!(people[3].0.speaking() && !people[1].0.speaking());
    }

    #[test]
    fn a_pause_between_words_loses_no_place() {
        let (rules, mut people) = (rules(1), room(1));
        tick(&rules, &mut people, &[-30.0]);
        for _ in 0..20 {
            assert_eq!(tick(&rules, &mut people, &[-90.0]), [0]);
        }
        assert!(tick(&rules, &mut people, &[-90.0]).is_empty());
    }

    #[test]
    fn a_newcomer_must_be_clearly_louder_and_wait_for_the_tenure() {
        let (rules, mut people) = (rules(1), room(2));
        tick(&rules, &mut people, &[-30.0, -127.0]);
        for _ in 1..15 {
            assert_eq!(tick(&rules, &mut people, &[-30.0, -20.0]), [0]);
        }
        assert_eq!(tick(&rules, &mut people, &[-30.0, -20.0]), [1]);
        for _ in 0..100 {
            assert_eq!(tick(&rules, &mut people, &[-16.0, -20.0]), [1], "4 dB are not enough");
        }
    }

    #[test]
    fn loud_noise_that_its_sender_calls_no_voice_is_not_heard() {
        let (rules, mut people) = (rules(1), room(1));
        people[0].0.hear(&rules, Some(-10.0), Some(false));
        Selection::default().choose(&rules, &mut people);
        assert!(!people[0].0.chosen());
    }

    proptest! {
        #[test]
        fn nobody_is_displaced_before_the_tenure_is_over(
            levels in prop::collection::vec((-45.0_f32..-15.0, -45.0_f32..-15.0), 500),
        ) {
            let (rules, mut people) = (rules(1), room(2));
            let (mut last, mut since) = (usize::MAX, rules.tenure);
            for (a, b) in levels {
                let chosen = tick(&rules, &mut people, &[a, b]);
                prop_assert_eq!(chosen.len(), 1);
                if chosen[0] != last {
                    prop_assert!(since >= rules.tenure, "displaced after {} ticks", since);
                    (last, since) = (chosen[0], 0);
                }
                since += 1;
            }
        }

        #[test]
        fn two_alike_do_not_flap(levels in prop::collection::vec((-36.0_f32..-24.0, -36.0_f32..-24.0), 500)) {
            let (rules, mut people) = (rules(1), room(2));
            let (mut changes, mut louder) = (Vec::new(), 0);
            for (a, b) in &levels {
                changes.push(tick(&rules, &mut people, &[*a, *b])[0]);
                louder += usize::from(a > b);
            }
            changes.dedup();
            // Each is the louder about half the time, in ten seconds.
            prop_assert!((150..350).contains(&louder));
            prop_assert!(changes.len() <= 3, "{} turns", changes.len());
        }

        #[test]
        fn never_more_than_the_loudest_and_never_fewer_than_speak(
            ticks in prop::collection::vec(prop::collection::vec(-127.0_f32..0.0, 7), 1..80),
            loudest in 0_usize..9,
        ) {
            let (rules, mut people) = (rules(loudest), room(7));
            for levels in ticks {
                let chosen = tick(&rules, &mut people, &levels);
                let speaking = people.iter().filter(|p| p.0.speaking()).count();
                prop_assert_eq!(chosen.len(), speaking.min(loudest));
            }
        }
    }
}
