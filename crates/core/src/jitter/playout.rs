//! What happens at a tick: which packet is next, what fills in for one that isn't there, and how long it all lasts.

use super::asleep::Asleep;
use super::config::Config;
use super::decoder::FrameDecoder;
use super::delay::DelayEstimator;
use super::fifo::{Fifo, Makeup, Origin};
use super::queue::{Queue, Waiting};
use super::rescale::Thresholds;
use super::stats::{Stats, Tag};
use crate::timescale::{TimeScale, energy, fade};

/// What was decoded begins so softly after silence, and ends so where nothing follows.
const EDGE_MS: f64 = 5.0;
/// The noise floor is never taken to be under −100 dBFS, and begins at −40.
const NOISE_RANGE: (f32, f32) = (1e-10, 1e-4);
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
pub(super) struct Tick<'a> {
    pub(super) now: i64,
    pub(super) queue: &'a mut Queue,
    pub(super) delay: &'a mut DelayEstimator,
    pub(super) stats: &'a mut Stats,
}

/// Lengths in samples.
#[derive(Debug)]
pub(super) struct Lengths {
    pub(super) frame: usize,
    /// 2.5 ms: what a decoder conceals is a multiple of it.
    pub(super) unit: usize,
    edge: usize,
    pub(super) rescale: Thresholds,
    least: i64,
    most: i64,
    least_packets: i64,
    most_packets: i64,
    start_margin: i64,
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
            rescale: Thresholds::new(rate, config.prompt),
            least: if config.prompt { 0 } else { samples(config.min_delay_ms.into()) },
            most: samples(config.max_delay_ms.into()),
            least_packets: if config.prompt { 0 } else { config.min_delay_packets.into() },
            most_packets: config.max_delay_packets.into(),
            start_margin: samples(config.start_margin_ms.into()),
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
    pub(super) lengths: Lengths,
    pub(super) fifo: Fifo,
    pub(super) scale: TimeScale,
    playing: bool,
    /// The packet that is next, once the stream began.
    pub(super) next_sequence: Option<i64>,
    /// Where it begins.
    pub(super) next_at: i64,
    /// Samples given out since, in place of what wasn't there.
    pub(super) ahead: i64,
    /// Samples filled in since the last decoded one.
    filled: i64,
    /// The sender said that it fell silent.
    pub(super) pausing: bool,
    /// The last samples were silence made here, not the decoder's.
    silent: bool,
    /// Samples of the newest packet.
    packet: i64,
    /// The delay, smoothed.
    pub(super) level: f64,
    /// How much earlier the tick could have come with the packet it needed there in time.
    pub(super) slack: i64,
    /// Ticks until the next change of time scale.
    pub(super) rest: u32,
    pub(super) noise: f32,
    pub(super) asleep: Asleep,
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
            slack: 0,
            rest: 0,
            noise: NOISE_RANGE.1,
            asleep: Asleep::new(rate),
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

    pub(super) fn slack(&self) -> Option<i64> {
        self.playing.then_some(self.slack)
    }

    /// Of the samples before a packet, how many it can recover, where they were not there.
    pub(super) fn recoverable(&mut self, packet: &[u8], samples: i64) -> i64 {
        self.decoder.recoverable(packet, samples as usize) as i64
    }

    pub(super) fn mean_delay(&self) -> f64 {
        if self.delay_count == 0 { 0.0 } else { self.delay_sum / self.delay_count as f64 }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.next_sequence.is_some()
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
        self.asleep.forget(None);
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
        self.asleep.wake(&mut self.decoder, &mut self.fifo, queue);
        let scaled = self.advance(&mut Tick { now, queue, delay, stats });
        let makeup = self.fifo.take(out);
        if makeup.decoded > 0 {
            self.delay_sum += self.level;
            self.delay_count += 1;
        }
        note(makeup, scaled, stats)
    }

    /// One tick that nobody hears: see [`super::JitterBuffer::skip`].
    pub(super) fn skip(
        &mut self,
        now: i64,
        look: bool,
        queue: &mut Queue,
        delay: &mut DelayEstimator,
        stats: &mut Stats,
    ) -> Option<f32> {
        self.asleep.sleep(look);
        self.advance(&mut Tick { now, queue, delay, stats });
        note(self.fifo.drop_front(self.lengths.frame), None, stats);
        self.asleep.power
    }

    /// Brings the stream forward until a frame is there, if there can be one.
    fn advance(&mut self, tick: &mut Tick<'_>) -> Option<Tag> {
        self.drop_overdue(tick);
        if !self.playing {
            self.begin(tick);
        }
        if !self.playing {
            return None;
        }
        let phase = self.fifo.len() % self.lengths.frame;
        while self.playing && self.fifo.len() < self.lengths.frame {
            self.step(tick);
        }
        if self.playing { self.rescale(phase, tick) } else { None }
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
        if self.due(front.at, tick) < self.target(tick.delay) + self.lengths.start_margin {
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
        if self.asleep.is_asleep() {
            return self.extrapolate(self.lengths.units(missing.min(span)), Origin::Skipped);
        }
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
    pub(super) fn accept(&mut self, tick: &mut Tick<'_>) {
        let Some(front) = tick.queue.pop() else { return };
        self.pass(&front, tick);
        let pausing = self.decoder.is_pause(&front.payload);
        if self.asleep.is_asleep() {
            return self.sleep_through(front, pausing, tick);
        }
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
                self.noise = power.clamp(NOISE_RANGE.0, self.noise * NOISE_RISE);
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

    /// Keeps a packet in place of decoding it.
    fn sleep_through(&mut self, packet: Waiting, pausing: bool, tick: &mut Tick<'_>) {
        let Waiting { samples, payload, .. } = packet;
        self.fifo.append_skipped(samples as usize);
        self.asleep.keep(payload, samples as usize, pausing, &mut self.decoder, tick.queue);
        (self.filled, self.silent, self.pausing) = (0, false, pausing);
        if !pausing {
            self.packet = samples;
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
        self.ahead += samples as i64;
        self.filled += samples as i64;
        self.silent = over || last;
        if self.asleep.is_asleep() {
            self.fifo.append_skipped(samples);
            if !over {
                self.asleep.miss(samples);
            }
            return;
        }
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
    }

    fn end_softly(&mut self) {
        if self.asleep.is_asleep() {
            return self.fifo.append_skipped(self.lengths.edge);
        }
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
}

/// Counts a frame and says what it is.
fn note(makeup: Makeup, scaled: Option<Tag>, stats: &mut Stats) -> Frame {
    let Makeup { decoded, concealed, recovered, silence, skipped } = makeup;
    stats.played_samples += decoded as u64;
    stats.concealed_samples += concealed as u64;
    stats.recovered_samples += recovered as u64;
    stats.silence_samples += silence as u64;
    stats.skipped_samples += skipped as u64;
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
