//! The jitter buffer over seeded networks, seen from outside: what is decoded, when, and what fills the gaps.

use antiphon_core::jitter::{Arrival, Config, FrameDecoder, JitterBuffer, Packet, Tag};
use antiphon_core::{Error, Result};
use proptest::prelude::*;

const RATE: u32 = 16_000;
const TICK: i64 = 20_000;
const SAMPLES: usize = 320;

/// A codec whose packets are numbers; remembers which it decoded.
struct Recorder {
    decoded: Vec<u32>,
    /// Samples that the next packet can recover.
    reach: usize,
}

impl Recorder {
    fn new() -> Self {
        Self { decoded: Vec::new(), reach: 0 }
    }
}

impl FrameDecoder for Recorder {
    fn sample_rate(&self) -> u32 {
        RATE
    }
    fn channels(&self) -> usize {
        1
    }
    fn samples(&self, packet: &[u8]) -> Result<usize> {
        if packet.len() < 4 { Err(Error::malformed(packet.len() as u64, "too short")) } else { Ok(SAMPLES) }
    }
    fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize> {
        let number = u32::from_le_bytes([packet[0], packet[1], packet[2], packet[3]]);
        if number == u32::MAX {
            return Err(Error::malformed(0, "no number"));
        }
        self.decoded.push(number);
        // 200 Hz, so that every lag of 5, 10 or 15 ms is a whole number of periods.
        for (at, sample) in out.iter_mut().enumerate() {
            *sample = 0.5 * (std::f32::consts::TAU * (at % 80) as f32 / 80.0).sin();
        }
        Ok(SAMPLES)
    }
    fn conceal(&mut self, out: &mut [f32]) -> Result<()> {
        out.fill(0.25);
        Ok(())
    }
    fn recoverable(&mut self, _next: &[u8], span: usize) -> usize {
        if span >= SAMPLES { self.reach } else { 0 }
    }
    fn is_pause(&self, packet: &[u8]) -> bool {
        packet.len() == 5
    }
    fn reset(&mut self) {}
}

/// A sender, a network and a player around one buffer.
struct Run {
    buffer: JitterBuffer<Recorder>,
    now: i64,
    tags: Vec<Tag>,
    delays: Vec<f64>,
    first_sequence: u16,
    first_timestamp: u32,
}

impl Run {
    fn new() -> Self {
        Self::with(Config::default(), Recorder::new())
    }

    fn with(config: Config, decoder: Recorder) -> Self {
        let config = Config { clock_rate: RATE, ..config };
        let buffer = JitterBuffer::new(config, decoder).expect("a good configuration");
        let (first_sequence, first_timestamp) = (100, 5_000);
        Self { buffer, now: 7_000, tags: Vec::new(), delays: Vec::new(), first_sequence, first_timestamp }
    }

    fn push(&mut self, number: u32, arrival: i64) -> Arrival {
        self.push_as(number, self.sequence(number), self.timestamp(number), arrival)
    }

    fn push_as(&mut self, number: u32, sequence_number: u16, timestamp: u32, arrival: i64) -> Arrival {
        let payload = number.to_le_bytes();
        let packet = Packet { ssrc: 1, sequence_number, timestamp, payload: &payload };
        self.buffer.push(&packet, arrival).expect("a good payload")
    }

    fn sequence(&self, number: u32) -> u16 {
        self.first_sequence.wrapping_add(number as u16)
    }

    fn timestamp(&self, number: u32) -> u32 {
        self.first_timestamp.wrapping_add(number.wrapping_mul(SAMPLES as u32))
    }

    fn tick(&mut self) -> Tag {
        let mut out = [f32::NAN; SAMPLES];
        let frame = self.buffer.pull(self.now, &mut out).expect("a frame of the right size");
        assert!(out.iter().all(|sample| sample.is_finite()), "every sample is filled");
        assert_eq!(frame.decoded + frame.concealed + frame.recovered + frame.silence, SAMPLES);
        self.now += TICK;
        self.tags.push(frame.tag);
        self.delays.push(self.buffer.stats().delay_ms);
        frame.tag
    }

    fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.tick();
        }
    }

    /// Plays packets whose arrivals are given, in order of time, and a second more.
    fn play(&mut self, mut arrivals: Vec<(i64, u32)>) {
        arrivals.sort_unstable();
        let mut coming = arrivals.into_iter().peekable();
        while coming.peek().is_some() {
            while let Some((arrival, number)) = coming.next_if(|next| next.0 <= self.now) {
                self.push(number, arrival);
            }
            self.tick();
        }
        self.ticks(50);
    }

    fn decoded(&self) -> &[u32] {
        &self.buffer.decoder().decoded
    }

    fn count(&self, tag: Tag) -> usize {
        self.tags.iter().filter(|&&other| other == tag).count()
    }
}

/// Packets of an even network.
fn even(numbers: impl IntoIterator<Item = u32>) -> Vec<(i64, u32)> {
    numbers.into_iter().map(|number| (i64::from(number) * TICK, number)).collect()
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[test]
fn an_even_stream_plays_whole_and_with_an_even_delay() {
    let mut run = Run::new();
    run.play(even(0..500));
    assert_eq!(run.decoded(), (0..500).collect::<Vec<_>>());
    assert_eq!(run.count(Tag::Played), 500);
    assert_eq!(run.count(Tag::Concealed), 10, "200 ms after the end");
    let stats = run.buffer.stats();
    assert_eq!((stats.lost, stats.late, stats.stretched_samples, stats.compressed_samples), (0, 0, 0, 0));
    assert!((50.0..70.0).contains(&stats.mean_delay_ms), "{stats:?}");
}

#[test]
fn numbers_may_wrap() {
    let mut run = Run::new();
    (run.first_sequence, run.first_timestamp) = (65_500, u32::MAX - 40_000);
    run.play(even(0..70_000 / 100));
    assert_eq!(run.decoded().len(), 700);
    assert_eq!(run.buffer.stats().resets, 0);
    assert_eq!(run.buffer.stats().lost, 0);
}

#[test]
fn packets_out_of_order_and_twice_are_played_in_order_and_once() {
    let mut run = Run::new();
    let mut arrivals = even(0..600);
    for (number, packet) in arrivals.iter_mut().enumerate() {
        if number % 5 == 0 {
            packet.0 += 30_000;
        }
    }
    arrivals.extend(even((0..600).step_by(3)).into_iter().map(|(arrival, number)| (arrival + 31_000, number)));
    run.play(arrivals);
    let stats = run.buffer.stats();
    assert_eq!(run.decoded(), (0..600).collect::<Vec<_>>());
    assert_eq!((stats.duplicates, stats.reordered, stats.lost, stats.late), (200, 120, 0, 0));
    assert!(run.count(Tag::Concealed) <= 10);
}

#[test]
fn one_lost_packet_is_one_concealed_frame_and_leaves_the_delay_alone() {
    let mut run = Run::new();
    run.play(even((0..400).filter(|&number| number != 200)));
    assert_eq!(run.count(Tag::Concealed), 1 + 10);
    assert_eq!(run.count(Tag::Played), 399);
    assert_eq!(run.buffer.stats().lost, 1);
    let before = run.delays[150];
    let after = &run.delays[205..390];
    assert!(after.iter().all(|delay| (delay - before).abs() < 20.0), "{before} {after:?}");
}

#[test]
fn error_correction_of_the_next_packet_is_used_for_the_last_lost_one() {
    let mut run = Run::with(Config::default(), Recorder { reach: SAMPLES, ..Recorder::new() });
    run.play(even((0..300).filter(|number| ![100, 150, 151].contains(number))));
    assert_eq!(run.count(Tag::Recovered), 2);
    assert_eq!(run.count(Tag::Concealed), 1 + 10);
    assert_eq!(run.buffer.stats().recovered_samples, 2 * SAMPLES as u64);
}

#[test]
fn deep_redundancy_is_used_for_as_much_as_it_reaches() {
    let mut run = Run::with(Config::default(), Recorder { reach: 5 * SAMPLES / 2, ..Recorder::new() });
    run.play(even((0..300).filter(|number| ![100, 150, 151].contains(number))));
    assert_eq!(run.count(Tag::Recovered), 3);
    assert_eq!(run.buffer.stats().recovered_samples, 3 * SAMPLES as u64);
}

#[test]
fn a_burst_of_losses_is_bridged_and_leaves_the_delay_alone() {
    let mut run = Run::new();
    run.play(even((0..400).filter(|number| !(200..206).contains(number))));
    assert_eq!(run.count(Tag::Concealed), 6 + 10);
    assert!((run.delays[395] - run.delays[150]).abs() < 20.0);
}

#[test]
fn after_a_spike_nothing_is_missing_and_the_delay_comes_down() {
    let mut run = Run::new();
    let held = 200 * TICK..200 * TICK + 300_000;
    let arrivals = even(0..800).into_iter();
    run.play(arrivals.map(|(at, number)| (if held.contains(&at) { held.end } else { at }, number)).collect());
    assert_eq!(run.decoded(), (0..800).collect::<Vec<_>>());
    let (before, peak) = (run.delays[150], run.delays[200..260].iter().copied().fold(0.0, f64::max));
    assert!(peak > 250.0, "grows at once: {peak}");
    assert!(run.delays[216 + 4 * 50] < before + 20.0, "within four seconds: {}", run.delays[216 + 200]);
    let stats = run.buffer.stats();
    assert_eq!((stats.lost, stats.late), (0, 0));
    assert!(stats.compressed_samples > 200 * 16, "{stats:?}");
}

#[test]
fn a_drifting_clock_is_followed_without_a_gap() {
    for ppm in [-200i64, 200] {
        let mut run = Run::new();
        let count = 15_000;
        run.play((0..count).map(|n| (i64::from(n) * (TICK * 1_000_000 + TICK * ppm) / 1_000_000, n)).collect());
        let stats = run.buffer.stats();
        assert_eq!(run.decoded().len(), count as usize);
        assert_eq!(run.tags[..count as usize - 10].iter().filter(|&&tag| tag == Tag::Concealed).count(), 0, "{ppm}");
        assert!(run.delays[100..14_000].iter().all(|delay| (40.0..100.0).contains(delay)), "{ppm} {stats:?}");
        let scaled = if ppm < 0 { stats.compressed_samples } else { stats.stretched_samples };
        let drifted = f64::from(count) * 0.02 * 200e-6 * f64::from(RATE);
        assert!((scaled as f64) > drifted / 3.0 && (scaled as f64) < drifted * 2.0, "{ppm} {scaled} {drifted}");
    }
}

#[test]
fn a_pause_of_the_sender_is_silence_and_not_loss() {
    let mut run = Run::new();
    let mut arrivals = even(0..100);
    // Sequence numbers go on where they stopped; the timestamp has run on for two seconds.
    arrivals.extend((100..200).map(|number| (i64::from(number) * TICK + 2_000_000, number)));
    let mut coming = arrivals.into_iter().peekable();
    while coming.peek().is_some() {
        while let Some((arrival, number)) = coming.next_if(|next| next.0 <= run.now) {
            let pause = if number < 100 { 0 } else { 2 * RATE };
            run.push_as(number, run.sequence(number), run.timestamp(number) + pause, arrival);
        }
        run.tick();
    }
    run.ticks(20);
    let stats = run.buffer.stats();
    assert_eq!((stats.lost, stats.resets, run.decoded().len()), (0, 0, 200));
    assert!(stats.concealed_samples <= 2 * 16 * 205, "{stats:?}");
    assert!(stats.silence_samples > 16 * 1_700);
}

#[test]
fn what_follows_a_marked_pause_is_never_called_concealed() {
    let mut run = Run::new();
    for number in 0..50u32 {
        run.push(number, i64::from(number) * TICK);
        run.tick();
    }
    let (sequence_number, timestamp) = (run.sequence(50), run.timestamp(50));
    let packet = Packet { ssrc: 1, sequence_number, timestamp, payload: &[50, 0, 0, 0, 0] };
    run.buffer.push(&packet, 50 * TICK).expect("good");
    let before = run.tags.len();
    for _ in 0..30 {
        run.tick();
    }
    assert!(!run.tags[before..].contains(&Tag::Concealed));
    assert_eq!(run.buffer.stats().underruns, 0);
}

#[test]
fn another_source_begins_anew() {
    let mut run = Run::new();
    for number in 0..100u32 {
        run.push(number, i64::from(number) * TICK);
        run.tick();
    }
    for number in 100..200u32 {
        let payload = number.to_le_bytes();
        let packet =
            Packet { ssrc: 2, sequence_number: number as u16, timestamp: number * 320 + 77, payload: &payload };
        run.buffer.push(&packet, i64::from(number) * TICK).expect("good");
        run.tick();
    }
    run.ticks(10);
    assert_eq!(run.buffer.stats().resets, 1);
    assert_eq!(run.decoded()[run.decoded().len() - 100..], (100..200).collect::<Vec<_>>());
}

#[test]
fn a_jump_that_goes_on_begins_anew_and_loses_nothing_behind_it() {
    for (jump, leap) in [(20_000u16, 0u32), (0, 1 << 30), (40_000, 1 << 31)] {
        let mut run = Run::new();
        for number in 0..200u32 {
            let (jump, leap) = if number < 100 { (0, 0) } else { (jump, leap) };
            let (sequence, timestamp) = (run.sequence(number).wrapping_add(jump), run.timestamp(number));
            run.push_as(number, sequence, timestamp.wrapping_add(leap), i64::from(number) * TICK);
            run.tick();
        }
        run.ticks(10);
        assert_eq!(run.buffer.stats().resets, 1, "{jump} {leap}");
        assert_eq!(run.decoded()[run.decoded().len() - 100..], (100..200).collect::<Vec<_>>());
    }
}

#[test]
fn a_stray_packet_changes_nothing() {
    let mut run = Run::new();
    for number in 0..200u32 {
        run.push(number, i64::from(number) * TICK);
        if number % 20 == 10 {
            let stray = run.push_as(
                9_999,
                (number.wrapping_mul(331)) as u16 ^ 0x8000,
                number.wrapping_mul(77_777_777),
                i64::from(number) * TICK,
            );
            assert_eq!(stray, Arrival::Doubtful);
        }
        run.tick();
    }
    run.ticks(5);
    assert_eq!(run.decoded(), (0..200).collect::<Vec<_>>());
    assert_eq!(run.buffer.stats().resets, 0);
}

#[test]
fn a_stream_that_stood_begins_with_a_full_delay() {
    let mut run = Run::new();
    let mut arrivals = even(0..100);
    // The sender stopped, its timestamps too, for 1.5 s.
    arrivals.extend((100..300).map(|number| (i64::from(number) * TICK + 1_500_000, number)));
    run.play(arrivals);
    assert_eq!(run.decoded(), (0..300).collect::<Vec<_>>());
    let stats = run.buffer.stats();
    assert_eq!((stats.lost, stats.late), (0, 0));
    let late = &run.delays[run.delays.len() - 100..run.delays.len() - 60];
    assert!(late.iter().all(|delay| (50.0..75.0).contains(delay)), "{late:?}");
}

#[test]
fn memory_is_bounded_when_nobody_pulls() {
    let mut run = Run::with(Config { max_packets: 32, ..Config::default() }, Recorder::new());
    for number in 0..10_000 {
        run.push(number, i64::from(number) * TICK);
        assert!(run.buffer.stats().packets <= 32);
    }
    assert_eq!(run.buffer.stats().overflowed, 10_000 - 32);
    run.now = 10_000 * TICK;
    for number in 10_000..10_100 {
        run.push(number, i64::from(number) * TICK);
        run.tick();
    }
    assert_eq!(run.decoded().last(), Some(&10_096));
    assert!(run.buffer.stats().delay_ms < 520.0);
}

#[test]
fn bytes_are_bounded_too() {
    let mut buffer =
        JitterBuffer::new(Config { clock_rate: RATE, max_bytes: 20_000, ..Config::default() }, Recorder::new())
            .expect("good");
    for number in 0..100u16 {
        let packet =
            Packet { ssrc: 0, sequence_number: number, timestamp: u32::from(number) * 320, payload: &[1; 5_000] };
        buffer.push(&packet, i64::from(number) * TICK).expect("fits alone");
        assert!(buffer.stats().bytes <= 20_000);
    }
    let packet = Packet { ssrc: 0, sequence_number: 100, timestamp: 32_000, payload: &[1; 20_001] };
    assert!(matches!(buffer.push(&packet, 0), Err(Error::TooLarge(_))));
    assert_eq!(buffer.stats().rejected, 1);
}

#[test]
fn what_cannot_be_decoded_is_concealed() {
    let mut run = Run::new();
    for number in 0..100u32 {
        let (sequence, timestamp) = (run.sequence(number), run.timestamp(number));
        run.push_as(if number == 50 { u32::MAX } else { number }, sequence, timestamp, i64::from(number) * TICK);
        run.tick();
    }
    assert_eq!((run.buffer.stats().corrupt, run.buffer.stats().lost), (1, 0));
    assert_eq!(run.count(Tag::Concealed), 1);
    let short = Packet { ssrc: 1, sequence_number: 0, timestamp: 0, payload: &[1] };
    assert_eq!(run.buffer.push(&short, 0), Err(Error::malformed(1, "too short")));
}

#[test]
fn the_delay_keeps_to_its_bounds_on_a_bad_network() {
    let mut random = Random(7);
    let mut run = Run::new();
    run.play(even(0..3_000).into_iter().map(|(at, n)| (at + random.below(400_000) as i64, n)).collect());
    let stats = run.buffer.stats();
    assert!(stats.target_ms <= 200.0, "ten packets: {stats:?}");
    assert!(run.delays.iter().all(|&delay| delay < 525.0));
}

#[test]
fn wrong_configurations_say_what_would_be_right() {
    let refused = |config: Config| JitterBuffer::new(config, Recorder::new()).err().map(|error| error.to_string());
    let frame = refused(Config { frame_ms: 30, ..Config::default() });
    assert_eq!(frame.as_deref(), Some("frame_ms must be one of 10, 20, not 30"));
    let least = refused(Config { min_delay_ms: 10, ..Config::default() });
    assert_eq!(least.as_deref(), Some("min_delay_ms must be 20 to 2000, not 10"));
    let most = refused(Config { max_delay_ms: 40, ..Config::default() });
    assert_eq!(most.as_deref(), Some("max_delay_ms must be 50 to 2000, not 40"));
    assert!(refused(Config { quantile: f64::NAN, ..Config::default() }).is_some());
    let mut run = Run::new();
    assert!(matches!(run.buffer.pull(0, &mut [0.0; 319]), Err(Error::Unsupported(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// Whatever the network does, no more is missing than it lost or brought too late, and nothing plays twice.
    #[test]
    fn no_more_is_missing_than_was_lost_or_late(
        seed in any::<u64>(), loss in 0u64..25, jitter in 1u64..200, spikes in 0u64..4, doubled in 0u64..10,
        frame_ms in prop_oneof![Just(10u32), Just(20)], phase in 0i64..TICK,
    ) {
        let mut random = Random(seed);
        let (mut arrivals, mut sent) = (Vec::new(), 0usize);
        let spikes: Vec<i64> = (0..spikes).map(|_| random.below(1_000) as i64 * TICK).collect();
        for (at, number) in even(0..1_000) {
            if random.below(100) < loss {
                continue;
            }
            let late = random.below(jitter) as i64 * 1_000;
            let held = spikes.iter().filter(|&&spike| (spike..spike + 250_000).contains(&at));
            let at = held.map(|spike| spike + 250_000).max().unwrap_or(at);
            arrivals.push((at + late, number));
            sent += 1;
            if random.below(100) < doubled {
                arrivals.push((at + late + random.below(90_000) as i64, number));
            }
        }
        arrivals.sort_unstable();
        let config = Config { clock_rate: RATE, frame_ms, ..Config::default() };
        let mut buffer = JitterBuffer::new(config, Recorder::new()).expect("good");
        let mut out = vec![0.0; buffer.frame_len()];
        let (mut now, mut ticks) = (phase, 0u64);
        let mut coming = arrivals.iter().peekable();
        while now < 1_060 * TICK {
            while let Some((at, number)) = coming.next_if(|next| next.0 <= now) {
                let payload = number.to_le_bytes();
                let packet = Packet { ssrc: 0, sequence_number: *number as u16, timestamp: number * 320, payload: &payload };
                buffer.push(&packet, *at).expect("good");
            }
            buffer.pull(now, &mut out).expect("good");
            (now, ticks) = (now + i64::from(frame_ms) * 1_000, ticks + 1);
        }
        let stats = buffer.stats();
        let decoded = &buffer.decoder().decoded;
        prop_assert!(decoded.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert_eq!(stats.received as usize, sent + stats.duplicates as usize);
        prop_assert_eq!(decoded.len() as u64 + stats.late + stats.overflowed + stats.packets as u64, sent as u64);
        prop_assert_eq!(stats.overflowed, 0);
        let out_samples = stats.played_samples + stats.concealed_samples + stats.recovered_samples + stats.silence_samples;
        prop_assert_eq!(out_samples, ticks * out.len() as u64);
        let made = decoded.len() as u64 * SAMPLES as u64 + stats.stretched_samples - stats.compressed_samples;
        prop_assert!(stats.played_samples <= made && made - stats.played_samples < 4_000);
    }

    /// Hostile numbers, times and payloads: every tick still gives a frame, and memory stays bounded.
    #[test]
    fn hostile_input_is_survived(
        calls in prop::collection::vec((any::<u16>(), any::<u32>(), 0usize..8, any::<i64>(), 0u8..6), 1..400),
    ) {
        let config = Config { clock_rate: RATE, max_packets: 16, ..Config::default() };
        let mut buffer = JitterBuffer::new(config, Recorder::new()).expect("good");
        let mut out = vec![0.0; buffer.frame_len()];
        let mut sequence = 0u16;
        for (number, timestamp, length, time, kind) in calls {
            let payload = vec![number as u8; length];
            let (sequence_number, time) = match kind {
                0 => (number, time),
                1 => (sequence, time),
                _ => (sequence, time % 10_000_000),
            };
            sequence = sequence_number.wrapping_add(1);
            let packet = Packet { ssrc: u32::from(kind == 5 && number % 7 == 0), sequence_number, timestamp, payload: &payload };
            let pushed = buffer.push(&packet, time);
            prop_assert_eq!(pushed.is_err(), length < 4);
            let frame = buffer.pull(time.wrapping_add(i64::from(timestamp)), &mut out).expect("a frame");
            prop_assert_eq!(frame.decoded + frame.concealed + frame.recovered + frame.silence, out.len());
            prop_assert!(buffer.stats().packets <= 16);
        }
        // It plays again as soon as the input is sane.
        let before = buffer.decoder().decoded.len();
        for number in 0..400u32 {
            let payload = number.to_le_bytes();
            let packet = Packet { ssrc: 9, sequence_number: number as u16, timestamp: number * 320, payload: &payload };
            buffer.push(&packet, i64::from(number) * TICK).expect("good");
            buffer.pull(i64::from(number) * TICK, &mut out).expect("good");
        }
        prop_assert!(buffer.decoder().decoded.len() - before > 390);
    }
}

mod codecs {
    use antiphon_core::g711::Law;
    use antiphon_core::jitter::{
        Config, FrameDecoder, G711Decoder, JitterBuffer, OpusDecoder, Packet, PcmDecoder, PcmFormat, Stats,
    };
    use antiphon_core::opus::{Application, Decoder, Encoder, EncoderConfig};

    const SPEECH: &[u8] = include_bytes!("../../../tests/data/speech/quick-brown-fox.wav");

    /// Speech at 16 kHz.
    pub fn speech() -> Vec<f32> {
        SPEECH[44..].chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0).collect()
    }

    /// Plays packets of 20 ms on an even network that loses some.
    fn play<D: FrameDecoder>(
        decoder: D,
        clock: u32,
        packets: &[Vec<u8>],
        lost: impl Fn(usize) -> bool,
    ) -> (Stats, Vec<f32>) {
        let config = Config { clock_rate: clock, ..Config::default() };
        let mut buffer = JitterBuffer::new(config, decoder).expect("good");
        let (mut all, mut out) = (Vec::new(), vec![0.0; buffer.frame_len()]);
        for (number, payload) in packets.iter().enumerate() {
            let now = number as i64 * 20_000;
            let (sequence_number, timestamp) = (number as u16, number as u32 * clock / 50);
            if !lost(number) {
                buffer.push(&Packet { ssrc: 0, sequence_number, timestamp, payload }, now).expect("good");
            }
            buffer.pull(now, &mut out).expect("good");
            all.extend_from_slice(&out);
        }
        (buffer.stats(), all)
    }

    fn opus_packets(config: EncoderConfig) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(&EncoderConfig { sample_rate: 16_000, channels: 1, ..config }).expect("good");
        let encode = |frame: &[f32]| {
            let mut packet = vec![0; 1_500];
            let length = encoder.encode_float(frame, &mut packet).expect("good");
            packet.truncate(length);
            packet
        };
        speech().chunks_exact(320).map(encode).collect()
    }

    #[test]
    fn opus_recovers_single_losses_from_in_band_error_correction() {
        let voip = EncoderConfig { application: Application::Voip, bitrate: 24_000, ..EncoderConfig::default() };
        let packets = opus_packets(EncoderConfig { fec: true, expected_loss: 20, dtx: false, ..voip });
        let decoder = OpusDecoder::new(Decoder::new(48_000, 1).expect("good"));
        let (stats, all) = play(decoder, 48_000, &packets, |number| number % 10 == 9);
        assert_eq!(all.len(), packets.len() * 960);
        assert!(stats.lost as usize >= packets.len() / 10 - 1);
        assert!(stats.recovered_samples > 960 * stats.lost / 2, "{stats:?}");
        assert_eq!(stats.recovered_samples + stats.concealed_samples, 960 * stats.lost);
    }

    #[test]
    fn opus_recovers_runs_of_losses_from_deep_redundancy() {
        let voip = EncoderConfig { application: Application::Voip, bitrate: 40_000, ..EncoderConfig::default() };
        let packets = opus_packets(EncoderConfig { fec: false, expected_loss: 25, dred_ms: 200, dtx: false, ..voip });
        let lost = |number: usize| number > 20 && number % 20 < 2;
        let plain = OpusDecoder::new(Decoder::new(16_000, 1).expect("good"));
        let (plain, _) = play(plain, 48_000, &packets, lost);
        assert_eq!(plain.recovered_samples, 0);
        let deep = OpusDecoder::with_redundancy(Decoder::new(16_000, 1).expect("good")).expect("good");
        let (deep, _) = play(deep, 48_000, &packets, lost);
        assert!(deep.recovered_samples > 320 * deep.lost / 2, "{deep:?}");
    }

    #[test]
    fn concealed_speech_has_no_step_where_it_begins_and_ends() {
        let speech = speech();
        let roughest = |samples: &[f32]| samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        let payload = |frame: &[f32]| {
            frame.iter().flat_map(|&sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect::<Vec<u8>>()
        };
        let packets: Vec<Vec<u8>> = speech.chunks_exact(320).map(payload).collect();
        let decoder = PcmDecoder::new(PcmFormat::S16Le, 16_000, 1).expect("good");
        let (stats, all) = play(decoder, 16_000, &packets, |number| number % 7 == 3);
        assert!(stats.concealed_samples > 0);
        assert!(roughest(&all) <= roughest(&speech) * 1.05, "{} {}", roughest(&all), roughest(&speech));
    }

    #[test]
    fn g711_plays_and_conceals() {
        let narrow: Vec<i16> = speech().chunks_exact(2).map(|pair| ((pair[0] + pair[1]) * 16_383.0) as i16).collect();
        for law in [Law::Mu, Law::A] {
            let encode = |frame: &[i16]| {
                let mut packet = vec![0; frame.len()];
                law.encode(frame, &mut packet).expect("good");
                packet
            };
            let packets: Vec<Vec<u8>> = narrow.chunks_exact(160).map(encode).collect();
            let (stats, all) = play(G711Decoder::new(law), 8_000, &packets, |number| number % 9 == 4);
            assert_eq!(stats.concealed_samples, 160 * stats.lost);
            assert!(all.iter().any(|sample| sample.abs() > 0.05));
        }
    }
}
