//! A jitter buffer: packets come when the network brings them, frames go out one a tick.
//!
//! [`JitterBuffer::push`] takes packets, [`JitterBuffer::pull`] gives one frame for each tick and says what it is made
//! of. The playout delay follows the distribution of the packets' delays: it grows at once where a
//! packet came too late, because that packet is still played, and it shrinks by taking out whole pitch periods
//! ([`timescale`](crate::timescale)). A lost packet is recovered from the next one's error correction or concealed, and
//! leaves the delay as it was. A timestamp that jumps while the sequence number does not is a pause of the sender, not
//! loss.
//!
//! Times are microseconds of any clock that only goes forward, the same for packets and frames. Memory is bounded by
//! [`Config::max_packets`] and [`Config::max_bytes`]; a buffer that is warmed up allocates nothing for a frame.

mod asleep;
mod conceal;
mod config;
mod decoder;
mod delay;
mod fifo;
mod playout;
mod queue;
mod rescale;
mod sequence;
mod stats;

pub use conceal::Concealer;
pub use config::{Config, SAMPLE_RATES};
pub use decoder::{FrameDecoder, G711Decoder, OpusDecoder, PcmDecoder, PcmFormat};
pub use playout::Frame;
pub use stats::{Stats, Tag};

use delay::DelayEstimator;
use playout::Playout;
use queue::Queue;
use sequence::{Place, Sequence};

use crate::{Error, Result};

/// A packet whose transit differs from the others' by more than this belongs to another time line.
const DISCONTINUITY_MS: i64 = 2_000;
/// So many packets may be late for one that can be recovered: what is lost is concealed worse than what only comes late.
const RECOVERY_WEIGHT: u32 = 2;
/// Times are counted from the first one seen; one further from it than this, 1.1 years, begins anew.
const LONGEST_MICROS: i64 = 1 << 45;

/// A packet of one stream, as RTP has it (RFC 3550, section 5.1).
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Source; another one begins the stream anew. Any constant where the transport has none.
    pub ssrc: u32,
    /// Goes up by one with every packet, modulo 2¹⁶.
    pub sequence_number: u16,
    /// Time of the first sample in ticks of [`Config::clock_rate`], modulo 2³².
    pub timestamp: u32,
    /// What the decoder takes.
    pub payload: &'a [u8],
}

/// What became of a pushed packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It waits for its turn.
    Queued,
    /// It had come before.
    Duplicate,
    /// Its turn is over.
    Late,
    /// It doesn't fit the stream; the stream begins anew if the next one follows it.
    Doubtful,
}

impl Arrival {
    /// The name in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::Doubtful => "doubtful",
        }
    }
}

/// A packet kept until the next one shows whether the stream has jumped.
#[derive(Debug)]
struct Doubtful {
    sequence_number: u16,
    timestamp: u32,
    transit: i64,
    arrival: i64,
    payload: Vec<u8>,
}

/// The jitter buffer of one stream. See the [module](self).
#[derive(Debug)]
pub struct JitterBuffer<D> {
    config: Config,
    sequence: Sequence,
    delay: DelayEstimator,
    queue: Queue,
    playout: Playout<D>,
    doubtful: Option<Doubtful>,
    ssrc: Option<u32>,
    epoch: Option<i64>,
    stats: Stats,
}

impl<D: FrameDecoder> JitterBuffer<D> {
    /// A buffer that gives `decoder`'s samples.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the configuration is out of range, or the decoder's rate or channels are.
    pub fn new(config: Config, decoder: D) -> Result<Self> {
        config.check(decoder.sample_rate(), decoder.channels())?;
        let rate = decoder.sample_rate();
        Ok(Self {
            sequence: Sequence::default(),
            delay: DelayEstimator::new(config.tuning(rate)),
            queue: Queue::new(config.max_packets, config.max_bytes),
            playout: Playout::new(&config, decoder),
            doubtful: None,
            ssrc: None,
            epoch: None,
            stats: Stats::default(),
            config,
        })
    }

    /// Takes a packet that arrived at `arrival` microseconds.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the payload can't be a packet of the codec, [`Error::TooLarge`] if it alone would go
    /// beyond [`Config::max_bytes`]. The packet is counted as rejected and changes nothing else.
    pub fn push(&mut self, packet: &Packet<'_>, arrival: i64) -> Result<Arrival> {
        let samples = self.accept(packet)?;
        self.stats.received += 1;
        if self.ssrc.replace(packet.ssrc).is_some_and(|ssrc| ssrc != packet.ssrc) {
            self.restart();
        }
        let arrival = self.samples_at(arrival);
        let place = self.sequence.place(packet.sequence_number, packet.timestamp);
        if let Some(place) = place.filter(|place| self.fits(*place, arrival)) {
            self.let_doubtful_go();
            return Ok(self.take(place, arrival, samples, packet.payload));
        }
        Ok(self.doubt(packet, arrival, samples))
    }

    /// Fills `out` with the next frame, for playing at `now` microseconds. To be called once a tick of
    /// [`Config::frame_ms`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] if `out` isn't of [`Self::frame_len`].
    pub fn pull(&mut self, now: i64, out: &mut [f32]) -> Result<Frame> {
        if out.len() != self.frame_len() {
            let (wanted, got) = (self.frame_len(), out.len());
            return Err(Error::unsupported(format!("a frame has {wanted} samples, all channels counted, not {got}")));
        }
        let now = self.samples_at(now);
        Ok(self.playout.pull(now, out, &mut self.queue, &mut self.delay, &mut self.stats))
    }

    /// Lets a tick pass that nobody hears, in place of [`Self::pull`]: all times and counters go on as they would, but
    /// nothing is decoded, and the delay changes as it ought to at once. The next [`Self::pull`] takes up the sound as if
    /// everything had been decoded; the last packets are kept for that.
    ///
    /// With `look` the packets whose turn is in this tick are decoded, to learn how loud they are: the answer is the mean
    /// square of the loudest, where there was one.
    pub fn skip(&mut self, now: i64, look: bool) -> Option<f32> {
        let now = self.samples_at(now);
        self.playout.skip(now, look, &mut self.queue, &mut self.delay, &mut self.stats)
    }

    /// The sequence number of the packet that is to be played next, once the stream has begun.
    pub fn next_sequence_number(&self) -> Option<u16> {
        self.playout.next_sequence.map(|sequence| sequence as u16)
    }

    /// By how many microseconds the last tick could have come earlier with the packet that it needed there in time, and
    /// what is kept against jitter beside; `None` while nothing plays.
    pub fn slack(&self) -> Option<i64> {
        self.playout.slack().map(|samples| samples * 1_000_000 / i64::from(self.playout.sample_rate()))
    }

    /// Packets that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Samples of a frame, all channels counted.
    pub fn frame_len(&self) -> usize {
        self.playout.frame_len()
    }

    /// What the buffer was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The decoder.
    pub fn decoder(&self) -> &D {
        self.playout.decoder()
    }

    /// Counters, and how the buffer stands.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        let ms = 1000.0 / f64::from(self.playout.sample_rate());
        stats.packets = self.queue.len();
        stats.bytes = self.queue.bytes();
        stats.target_ms = self.playout.target(&self.delay) as f64 * ms;
        stats.delay_ms = self.playout.delay() * ms;
        stats.mean_delay_ms = self.playout.mean_delay() * ms;
        stats.jitter_ms = self.delay.jitter() * ms;
        stats
    }

    /// Begins anew, as with another source: what waits is dropped, and counters go on.
    pub fn reset(&mut self) {
        self.restart();
        self.ssrc = None;
    }

    fn accept(&mut self, packet: &Packet<'_>) -> Result<i64> {
        let (bytes, most) = (packet.payload.len(), self.config.max_bytes);
        let samples = if bytes > most {
            Err(Error::TooLarge(format!("a packet of {bytes} bytes is beyond the buffer's {most}")))
        } else {
            match self.playout.decoder().samples(packet.payload) {
                Ok(samples) if samples > self.playout.longest_packet() => {
                    let most = self.playout.longest_packet();
                    Err(Error::TooLarge(format!(
                        "a packet of {samples} samples is longer than 120 ms, which is {most}"
                    )))
                }
                Ok(0) => Err(Error::malformed(0, "the packet holds no samples")),
                samples => samples,
            }
        };
        self.stats.rejected += u64::from(samples.is_err());
        samples.map(|samples| samples as i64)
    }

    /// Whether the packet's transit is near that of the others.
    fn fits(&self, place: Place, arrival: i64) -> bool {
        let far = DISCONTINUITY_MS * i64::from(self.playout.sample_rate()) / 1000;
        self.sequence.is_new() || (arrival - self.media_time(place.ticks) - self.delay.base()).abs() <= far
    }

    fn take(&mut self, place: Place, arrival: i64, samples: i64, payload: &[u8]) -> Arrival {
        if self.sequence.seen(place.sequence) {
            self.stats.duplicates += 1;
            return Arrival::Duplicate;
        }
        let at = self.media_time(place.ticks);
        let transit = arrival - at;
        self.stats.reordered += u64::from(self.sequence.reordered(place));
        self.sequence.note(place);
        let over = self.playout.is_over(place.sequence);
        let late = over || self.playout.is_missed(at);
        self.delay.observe(transit, arrival, samples, late);
        if self.config.prompt && !self.sequence.seen(place.sequence - 1) {
            self.observe_recovery(place.sequence - 1, at - samples, arrival, samples, payload);
        }
        if over {
            self.stats.late += 1;
            // It was given up for lost.
            self.stats.lost = self.stats.lost.saturating_sub(1);
            return Arrival::Late;
        }
        while !self.queue.fits(payload.len()) {
            if let Some(oldest) = self.queue.pop() {
                self.stats.overflowed += 1;
                self.queue.recycle(oldest.payload);
            }
        }
        self.queue.insert(place.sequence, at, samples, payload);
        Arrival::Queued
    }

    /// What a packet can recover of the one before comes as late as that packet: to be of use it must be waited for.
    fn observe_recovery(&mut self, sequence: i64, at: i64, arrival: i64, samples: i64, payload: &[u8]) {
        if !self.playout.has_begun() {
            return;
        }
        let reach = self.playout.recoverable(payload, samples);
        if reach > 0 {
            let late = self.playout.is_over(sequence) || self.playout.is_missed(at);
            for _ in 0..RECOVERY_WEIGHT {
                self.delay.weigh(arrival - at, arrival, reach, late);
            }
        }
    }

    /// Keeps a packet that doesn't fit, or begins anew with the one kept before if this one follows it.
    fn doubt(&mut self, packet: &Packet<'_>, arrival: i64, samples: i64) -> Arrival {
        let transit = arrival - self.media_time(i64::from(packet.timestamp));
        let far = DISCONTINUITY_MS * i64::from(self.playout.sample_rate()) / 1000;
        let kept = self.doubtful.take_if(|kept| {
            kept.sequence_number.wrapping_add(1) == packet.sequence_number && (transit - kept.transit).abs() <= far
        });
        let Some(first) = kept else {
            self.let_doubtful_go();
            let (sequence_number, timestamp) = (packet.sequence_number, packet.timestamp);
            let payload = packet.payload.to_vec();
            self.doubtful = Some(Doubtful { sequence_number, timestamp, transit, arrival, payload });
            return Arrival::Doubtful;
        };
        self.restart();
        if let (Some(place), Ok(samples)) = (
            self.sequence.place(first.sequence_number, first.timestamp),
            self.playout.decoder().samples(&first.payload),
        ) {
            self.take(place, first.arrival, samples as i64, &first.payload);
        }
        match self.sequence.place(packet.sequence_number, packet.timestamp) {
            Some(place) => self.take(place, arrival, samples, packet.payload),
            None => Arrival::Doubtful,
        }
    }

    fn let_doubtful_go(&mut self) {
        self.stats.late += u64::from(self.doubtful.take().is_some());
    }

    fn restart(&mut self) {
        self.let_doubtful_go();
        self.stats.resets += 1;
        self.queue.clear();
        self.sequence = Sequence::default();
        self.delay = DelayEstimator::new(self.config.tuning(self.playout.sample_rate()));
        self.playout.restart();
    }

    /// A timestamp's position in samples.
    fn media_time(&self, ticks: i64) -> i64 {
        let (rate, clock) = (i64::from(self.playout.sample_rate()), i64::from(self.config.clock_rate));
        if rate == clock { ticks } else { (i128::from(ticks) * i128::from(rate)).div_euclid(clock.into()) as i64 }
    }

    /// A time's position in samples.
    fn samples_at(&mut self, micros: i64) -> i64 {
        let mut since = micros.saturating_sub(*self.epoch.get_or_insert(micros));
        if !(-LONGEST_MICROS..=LONGEST_MICROS).contains(&since) {
            // Another clock.
            self.restart();
            self.epoch = Some(micros);
            since = 0;
        }
        (since * i64::from(self.playout.sample_rate())).div_euclid(1_000_000)
    }
}
