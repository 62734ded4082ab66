//! What happens at a tick: which packet is next, what fills in for one that isn't there, and how long it all lasts.

use super::config::Config;
use super::decoder::FrameDecoder;
use super::delay::DelayEstimator;
use super::fifo::{Fifo, Makeup, Origin};
use super::queue::{Queue, Waiting};
use super::stats::{Stats, Tag};
use crate::timescale::{Match, TimeScale, energy, fade};

/// What was decoded begins so softly after silence, and ends so where nothing follows.
const EDGE_MS: f64 = 5.0;
/// The delay may lie so far under the target before it is stretched, and so far over a whole tick before it is
/// compressed.
const SLACK_MS: f64 = 5.0;
/// Audio that waits for its tick for longer than this is worth compressing.
const IDLE_PHASE_MS: f64 = 8.0;
/// Similarity that a pitch period must have while there is time,
const PATIENT: f32 = 0.92;
/// and when the delay is [`URGENT_MS`] from where it should be.
const HURRIED: f32 = 0.55;
const URGENT_MS: f64 = 200.0;
/// Mean square of what is so quiet that any lag will do: −50 dBFS.
const QUIET: f32 = 1e-5;
/// The same for what lies at the noise floor: −40 dBFS.
const NOISE: f32 = 1e-4;
/// What counts as the noise floor: four times (6 dB over) the least power of late.
const NOISE_FACTOR: f32 = 4.0;
/// How fast the noise floor may rise in a packet.
const NOISE_RISE: f32 = 1.005;

/// A pulled frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What it is, by the most of its samples.
    pub tag: Tag,
    /// Samples of each channel that came from packets.
    pub decoded: usize,
    /// Samples that were extrapolated.
    pub concealed: usize,
    /// Samples from error correction.
    pub recovered: usize,
    /// Samples of silence.
    pub silence: usize,
}

/// The parts of the buffer that a tick needs, and its time in samples.
struct Tick<'a> {
    now: i64,
    queue: &'a mut Queue,
    delay: &'a mut DelayEstimator,
    stats: &'a mut Stats,
}

/// Lengths in samples.
#[derive(Debug)]
struct Lengths {
    frame: usize,
    /// 2.5 ms: what a decoder conceals is a multiple of it.
    unit: usize,
    edge: usize,
    slack: i64,
    idle_phase: i64,
    urgent: f32,
    least: i64,
    most: i64,
    least_packets: i64,
    most_packets: i64,
    conceal: i64,
    idle: i64,
    longest_packet: usize,
}

impl Lengths {
    fn new(config: &Config, rate: u32) -> Self {
        let samples = |ms: f64| (ms * f64::from(rate) / 1000.0) as i64;
        Self {
            frame: samples(config.frame_ms.into()) as usize,
            unit: (rate / 400) as usize,
            edge: 2 * (rate / 400) as usize * (EDGE_MS / 5.0) as usize,
            slack: samples(SLACK_MS),
            idle_phase: samples(IDLE_PHASE_MS),
            urgent: samples(URGENT_MS) as f32,
            least: samples(config.min_delay_ms.into()),
            most: samples(config.max_delay_ms.into()),
            least_packets: config.min_delay_packets.into(),
            most_packets: config.max_delay_packets.into(),
            conceal: samples(config.max_conceal_ms.into()),
            idle: samples(config.idle_ms.into()),
            longest_packet: samples(120.0) as usize,
        }
    }

    fn units(&self, samples: i64) -> usize {
        (samples.max(1) as usize).div_ceil(self.unit) * self.unit
    }
}

/// The side of the buffer from which frames are pulled.
#[derive(Debug)]
pub struct Playout<D> {
    decoder: D,
    lengths: Lengths,
    fifo: Fifo,
    scale: TimeScale,
    playing: bool,
    /// The packet that is next, once the stream began.
    next_sequence: Option<i64>,
    /// Where it begins.
    next_at: i64,
    /// Samples given out since, in place of what wasn't there.
    ahead: i64,
    /// Samples filled in since the last decoded one.
    filled: i64,
    /// The sender said that it fell silent.
    pausing: bool,
    /// The last samples were silence made here, not the decoder's.
    silent: bool,
    /// Samples of the newest packet.
    packet: i64,
    /// The delay, smoothed.
    level: f64,
    /// Ticks until the next change of time scale.
    rest: u32,
    noise: f32,
    delay_sum: f64,
    delay_count: u64,
}

impl<D: FrameDecoder> Playout<D> {
    pub(super) fn new(config: &Config, decoder: D) -> Self {
        let (rate, channels) = (decoder.sample_rate(), decoder.channels());
        let scale = TimeScale::new(rate, channels);
        let lengths = Lengths::new(config, rate);
        Self {
            fifo: Fifo::new(channels, scale.max_lag()),
            scale,
            playing: false,
            next_sequence: None,
            next_at: 0,
            ahead: 0,
            filled: 0,
            pausing: false,
            silent: true,
            packet: lengths.frame as i64,
            level: 0.0,
            rest: 0,
            noise: NOISE,
            delay_sum: 0.0,
            delay_count: 0,
            lengths,
            decoder,
        }
    }

    pub(super) fn decoder(&self) -> &D {
        &self.decoder
    }

    pub(super) fn sample_rate(&self) -> u32 {
        self.decoder.sample_rate()
    }

    pub(super) fn frame_len(&self) -> usize {
        self.lengths.frame * self.decoder.channels()
    }

    pub(super) fn longest_packet(&self) -> usize {
        self.lengths.longest_packet
    }

    /// The delay that is aimed at, in samples behind the fastest packet.
    pub(super) fn target(&self, delay: &DelayEstimator) -> i64 {
        let lengths = &self.lengths;
        let least = lengths.least.max(lengths.least_packets * self.packet).min(lengths.most);
        let most = lengths.most.min(lengths.most_packets * self.packet).max(least);
        delay.lateness().clamp(least, most)
    }

    /// The delay as it is, in samples behind the fastest packet.
    pub(super) fn delay(&self) -> f64 {
        if self.playing { self.level } else { 0.0 }
    }

    pub(super) fn mean_delay(&self) -> f64 {
        if self.delay_count == 0 { 0.0 } else { self.delay_sum / self.delay_count as f64 }
    }

    /// Whether the packet's turn has passed.
    pub(super) fn is_over(&self, sequence: i64) -> bool {
        self.next_sequence.is_some_and(|next| sequence < next)
    }

    /// Whether what begins at `at` should have been playing by now.
    pub(super) fn is_missed(&self, at: i64) -> bool {
        self.playing && !self.pausing && at < self.next_at + self.ahead
    }

    /// Ends the stream softly and forgets it.
    pub(super) fn restart(&mut self) {
        if self.playing {
            self.end_softly();
        }
        self.decoder.reset();
        self.next_sequence = None;
        self.stand();
    }

    /// One tick: see [`super::JitterBuffer::pull`].
    pub(super) fn pull(
        &mut self,
        now: i64,
        out: &mut [f32],
        queue: &mut Queue,
        delay: &mut DelayEstimator,
        stats: &mut Stats,
    ) -> Frame {
        let mut tick = Tick { now, queue, delay, stats };
        self.drop_overdue(&mut tick);
        if !self.playing {
            self.begin(&mut tick);
        }
        let mut scaled = None;
        if self.playing {
            let phase = self.fifo.len() % self.lengths.frame;
            while self.playing && self.fifo.len() < self.lengths.frame {
                self.step(&mut tick);
            }
            if self.playing {
                scaled = self.rescale(phase, &mut tick);
            }
        }
        let makeup = self.fifo.take(out);
        if makeup.decoded > 0 {
            self.delay_sum += self.level;
            self.delay_count += 1;
        }
        note(makeup, scaled, stats)
    }

    /// Gives up packets beyond the greatest delay, as long as there is a newer one.
    fn drop_overdue(&mut self, tick: &mut Tick<'_>) {
        let latest = self.lengths.most + self.lengths.frame as i64;
        let mut dropped = false;
        while tick.queue.len() > 1 {
            let Some(front) = tick.queue.front() else { break };
            if self.due(front.at, tick) <= latest {
                break;
            }
            let Some(front) = tick.queue.pop() else { break };
            self.pass(&front, tick);
            tick.stats.late += 1;
            tick.queue.recycle(front.payload);
            dropped = true;
        }
        // The decoder leads over to what comes after the gap.
        if dropped && self.playing {
            self.extrapolate(self.lengths.edge, Origin::Concealed);
        }
    }

    /// The delay with which a sample would be played behind those already decoded.
    fn due(&self, at: i64, tick: &Tick<'_>) -> i64 {
        tick.now + self.fifo.len() as i64 - at - tick.delay.base()
    }

    /// Begins to play once the first packet has waited for its time.
    fn begin(&mut self, tick: &mut Tick<'_>) {
        let Some(front) = tick.queue.front() else { return };
        if self.due(front.at, tick) < self.target(tick.delay) {
            return;
        }
        let next = self.next_sequence.unwrap_or(front.sequence);
        tick.stats.lost += (front.sequence - next).max(0) as u64;
        (self.next_sequence, self.next_at, self.ahead) = (Some(front.sequence), front.at, 0);
        (self.playing, self.pausing) = (true, false);
        self.level = self.due(front.at, tick) as f64;
    }

    /// Decodes the next packet or fills in for it.
    fn step(&mut self, tick: &mut Tick<'_>) {
        let missing = (self.lengths.frame - self.fifo.len()) as i64;
        let Some(front) = tick.queue.front() else { return self.starve(missing, tick) };
        let (at, lost) = (front.at, front.sequence - self.next_sequence.unwrap_or(front.sequence));
        let early = self.target(tick.delay) - self.due(at, tick);
        let unit = self.lengths.unit as i64;
        if lost == 0 && at - self.next_at >= unit {
            // The sender paused: silence may last as long as suits the delay.
            if early > 0 {
                return self.extrapolate(self.lengths.units(early.min(missing)), Origin::Silence);
            }
        } else if lost > 0 {
            let span = at - self.next_at - self.ahead;
            let plenty = early <= -(self.lengths.frame as i64) && self.filled >= 2 * unit;
            if span >= unit && !plenty {
                return self.cover(span, missing, tick);
            }
        }
        self.accept(tick);
    }

    /// Nothing is there.
    fn starve(&mut self, missing: i64, tick: &mut Tick<'_>) {
        if self.filled >= self.lengths.idle {
            if self.pausing {
                self.end_softly();
            }
            tick.delay.forget_base();
            return self.stand();
        }
        if self.filled == 0 && !self.pausing {
            tick.stats.underruns += 1;
        }
        self.extrapolate(self.lengths.units(missing), if self.pausing { Origin::Silence } else { Origin::Concealed });
    }

    /// Fills in for lost packets of `span` samples before the one at hand.
    fn cover(&mut self, span: i64, missing: i64, tick: &Tick<'_>) {
        let Some(next) = tick.queue.front() else { return };
        let (packet, unit) = (self.packet, self.lengths.unit as i64);
        let reach = if packet % unit == 0 { self.decoder.recoverable(&next.payload, span as usize) as i64 } else { 0 };
        if reach == 0 || span - reach >= unit {
            return self.extrapolate(self.lengths.units(missing.min(span - reach)), Origin::Concealed);
        }
        // The last piece is of a packet's length, as in-band error correction has it.
        let before = span / unit * unit;
        let piece = if before > packet { packet.min(before - packet) } else { before };
        let (decoder, channels) = (&mut self.decoder, self.fifo.channels());
        let recovered = self.fifo.append(Origin::Recovered, piece as usize, |out| {
            decoder.recover(&next.payload, before as usize, out).map(|()| out.len() / channels)
        });
        if recovered.is_err() {
            return self.extrapolate(piece as usize, Origin::Concealed);
        }
        self.ahead += piece;
        self.filled = 0;
        self.silent = false;
    }

    /// Decodes the packet at the front.
    fn accept(&mut self, tick: &mut Tick<'_>) {
        let Some(front) = tick.queue.pop() else { return };
        self.pass(&front, tick);
        let pausing = self.decoder.is_pause(&front.payload);
        let origin = if pausing { Origin::Silence } else { Origin::Decoded };
        let (decoder, channels) = (&mut self.decoder, self.fifo.channels());
        let decoded = self.fifo.append(origin, front.samples as usize, |out| decoder.decode(&front.payload, out));
        tick.queue.recycle(front.payload);
        match decoded {
            Ok(samples) if samples > 0 => {
                if self.silent {
                    fade_in(self.fifo.last(samples), self.lengths.edge, channels);
                }
                let power = energy(self.fifo.last(samples)) / (samples * channels) as f32;
                self.noise = power.clamp(NOISE * 1e-6, self.noise * NOISE_RISE);
                (self.filled, self.silent) = (0, false);
            }
            _ => {
                tick.stats.corrupt += 1;
                self.extrapolate(self.lengths.units(front.samples), Origin::Concealed);
                self.ahead = 0;
            }
        }
        self.pausing = pausing;
        if !pausing {
            self.packet = front.samples;
        }
    }

    /// Notes that a packet's turn is over, with those before it that never came.
    fn pass(&mut self, packet: &Waiting, tick: &mut Tick<'_>) {
        if let Some(next) = self.next_sequence {
            tick.stats.lost += (packet.sequence - next).max(0) as u64;
        }
        self.next_sequence = Some(packet.sequence + 1);
        self.next_at = packet.at + packet.samples;
        self.ahead = 0;
    }

    /// Adds what might have been there, or silence once that has gone on for long.
    fn extrapolate(&mut self, samples: usize, origin: Origin) {
        let over = self.filled >= self.lengths.conceal && !self.pausing;
        let last = self.filled + samples as i64 >= self.lengths.conceal && !over && !self.pausing;
        let origin = if over { Origin::Silence } else { origin };
        let (decoder, channels) = (&mut self.decoder, self.fifo.channels());
        let added = self.fifo.append(origin, samples, |out| {
            if over {
                out.fill(0.0);
            } else if let Err(error) = decoder.conceal(out) {
                out.fill(0.0);
                return Err(error);
            }
            if last {
                fade_out(out, channels);
            }
            Ok(samples)
        });
        if added.is_err() {
            // No decoder does this for whole units; silence keeps the tick.
            let _ = self.fifo.append(Origin::Silence, samples, |_| Ok::<_, ()>(samples));
        }
        self.silent = over || last;
        self.ahead += samples as i64;
        self.filled += samples as i64;
    }

    fn end_softly(&mut self) {
        let (decoder, channels) = (&mut self.decoder, self.fifo.channels());
        // An error adds nothing.
        let _ = self.fifo.append(Origin::Concealed, self.lengths.edge, |out| {
            decoder.conceal(out)?;
            fade_out(out, channels);
            Ok::<_, crate::Error>(out.len() / channels)
        });
    }

    fn stand(&mut self) {
        (self.playing, self.pausing, self.silent) = (false, false, true);
        (self.ahead, self.filled, self.rest) = (0, 0, 0);
    }

    /// Takes out or puts in a pitch period if the delay is not what it should be.
    fn rescale(&mut self, phase: usize, tick: &mut Tick<'_>) -> Option<Tag> {
        let first = self.next_at + self.ahead - self.fifo.len() as i64;
        let delay = (tick.now - first - tick.delay.base()) as f64;
        let off = delay - self.level;
        self.level += if off.abs() > self.lengths.frame as f64 { off } else { off / 4.0 };
        if self.rest > 0 {
            self.rest -= 1;
            return None;
        }
        if self.pausing || self.ahead > 0 {
            return None;
        }
        // A packet is taken when a tick needs its first sample: what is decoded already lies before it.
        let (frame, phase) = (self.lengths.frame as i64, phase as i64);
        let margin = self.level as i64 - phase - self.target(tick.delay);
        if margin >= frame + self.lengths.slack {
            self.compress(margin / frame * frame + phase, margin, tick)
        } else if margin >= 0 && phase >= self.lengths.idle_phase {
            self.compress(phase, 0, tick)
        } else if margin < -self.lengths.slack {
            self.stretch(-margin, tick)
        } else {
            None
        }
    }

    fn compress(&mut self, room: i64, margin: i64, tick: &mut Tick<'_>) -> Option<Tag> {
        let frame = self.lengths.frame;
        let limit = (room as usize).min(self.scale.max_lag());
        self.decode_ahead((2 * limit).max(frame + limit), tick);
        let limit = limit.min(self.fifo.len() - frame);
        let found = self.period(limit, margin);
        let Some(found) = found else {
            self.rest = if margin > 0 { 0 } else { 4 };
            return None;
        };
        self.fifo.compress(&self.scale, found.lag);
        self.level -= found.lag as f64;
        tick.stats.compressed_samples += found.lag as u64;
        let frame = frame as i64;
        self.rest = if margin > 3 * frame {
            1
        } else if margin > frame * 3 / 2 {
            3
        } else {
            9
        };
        Some(Tag::Compressed)
    }

    fn stretch(&mut self, deficit: i64, tick: &mut Tick<'_>) -> Option<Tag> {
        self.decode_ahead(self.scale.needed(), tick);
        let found = self.period(self.scale.max_lag(), deficit)?;
        self.fifo.stretch(&self.scale, found.lag);
        self.level += found.lag as f64;
        tick.stats.stretched_samples += found.lag as u64;
        self.rest = u32::from(deficit <= self.lengths.frame as i64);
        Some(Tag::Stretched)
    }

    /// A lag of at most `limit` that can be taken out or put in where the next frame begins, the delay being off by
    /// `off`.
    fn period(&mut self, limit: usize, off: i64) -> Option<Match> {
        if !self.fifo.all_decoded() {
            return None;
        }
        let urgency = (off as f32 / self.lengths.urgent).clamp(0.0, 1.0);
        let enough = PATIENT + urgency * (HURRIED - PATIENT);
        let found = self.scale.find(self.fifo.samples(), limit, Some(enough))?;
        let quiet = QUIET.max((NOISE_FACTOR * self.noise).min(NOISE));
        (found.similarity >= enough || found.power < quiet).then_some(found)
    }

    /// Decodes packets that follow on each other until so many samples are there.
    fn decode_ahead(&mut self, wanted: usize, tick: &mut Tick<'_>) {
        while self.fifo.len() < wanted {
            let Some(front) = tick.queue.front() else { return };
            let follows =
                Some(front.sequence) == self.next_sequence && (front.at - self.next_at) < self.lengths.unit as i64;
            if !follows || self.ahead > 0 {
                return;
            }
            self.accept(tick);
        }
    }
}

/// Counts a frame and says what it is.
fn note(makeup: Makeup, scaled: Option<Tag>, stats: &mut Stats) -> Frame {
    let Makeup { decoded, concealed, recovered, silence } = makeup;
    stats.played_samples += decoded as u64;
    stats.concealed_samples += concealed as u64;
    stats.recovered_samples += recovered as u64;
    stats.silence_samples += silence as u64;
    let parts = [
        (concealed, Tag::Concealed),
        (recovered, Tag::Recovered),
        (silence, Tag::Silence),
        (decoded, scaled.unwrap_or(Tag::Played)),
    ];
    let mut most = parts[0];
    for part in parts {
        if part.0 > most.0 {
            most = part;
        }
    }
    Frame { tag: most.1, decoded, concealed, recovered, silence }
}

fn fade_in(samples: &mut [f32], length: usize, channels: usize) {
    for (at, frame) in samples.chunks_exact_mut(channels).take(length).enumerate() {
        let weight = fade(at, length);
        frame.iter_mut().for_each(|sample| *sample *= weight);
    }
}

fn fade_out(samples: &mut [f32], channels: usize) {
    let length = samples.len() / channels;
    for (at, frame) in samples.chunks_exact_mut(channels).enumerate() {
        let weight = 1.0 - fade(at, length);
        frame.iter_mut().for_each(|sample| *sample *= weight);
    }
}
