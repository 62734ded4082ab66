use super::delay::Tuning;
use crate::{Error, Result};

const FRAMES_MS: [u32; 2] = [10, 20];
const MAX_CHANNELS: usize = 2;

/// Hertz of what a buffer can give out.
pub const SAMPLE_RATES: [u32; 7] = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000];

/// How a jitter buffer behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Ticks of the timestamp in a second: 48 000 for Opus (RFC 7587), 8 000 for G.711, the sample rate for PCM.
    pub clock_rate: u32,
    /// Length of a tick and of the frame that it pulls: 10 or 20 ms.
    pub frame_ms: u32,
    /// Least delay aimed at, in milliseconds behind the fastest packet.
    pub min_delay_ms: u32,
    /// Greatest delay: what comes later is given up where newer audio is at hand.
    pub max_delay_ms: u32,
    /// Least delay aimed at, in packets.
    pub min_delay_packets: u32,
    /// Greatest delay aimed at, in packets. One spike may take the delay beyond, for as long as it takes to shrink it.
    pub max_delay_packets: u32,
    /// Share of packets that shall come in time, 0.5 to 0.999.
    pub quantile: f64,
    /// Time in which old delays are forgotten, in milliseconds: after it they count 1/e.
    pub memory_ms: u32,
    /// Time in which the target comes down after a packet that was too late, in milliseconds, by the same measure.
    pub decay_ms: u32,
    /// Missing audio is concealed for so long at a time, in milliseconds; then there is silence.
    pub max_conceal_ms: u32,
    /// With nothing to play for so long, in milliseconds, the stream stands, and begins with a full delay.
    pub idle_ms: u32,
    /// The least delays don't count: no more is waited than the packets' lateness asks for. On a network without jitter a
    /// packet then waits for the next tick, and only where packets are lost that the next ones can recover for those.
    pub prompt: bool,
    /// Further delay at the beginning of the stream, in milliseconds, where nothing is known of its jitter yet.
    pub start_margin_ms: u32,
    /// Packets held at most; the oldest are dropped.
    pub max_packets: usize,
    /// Bytes of payload held at most; the oldest packets are dropped.
    pub max_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            clock_rate: 48_000,
            frame_ms: 20,
            min_delay_ms: 50,
            max_delay_ms: 500,
            min_delay_packets: 2,
            max_delay_packets: 10,
            quantile: 0.97,
            memory_ms: 10_000,
            decay_ms: 1_000,
            max_conceal_ms: 200,
            idle_ms: 1_000,
            prompt: false,
            start_margin_ms: 0,
            max_packets: 256,
            max_bytes: 1 << 20,
        }
    }
}

impl Config {
    /// Whether every value is in its range, with a decoder of this rate and so many channels.
    pub(super) fn check(&self, sample_rate: u32, channels: usize) -> Result<()> {
        check_output(sample_rate, channels)?;
        one_of("frame_ms", self.frame_ms, &FRAMES_MS)?;
        range("clock_rate", self.clock_rate.into(), 1_000.0, 192_000.0)?;
        range("min_delay_ms", self.min_delay_ms.into(), 20.0, 2_000.0)?;
        range("max_delay_ms", self.max_delay_ms.into(), self.min_delay_ms.into(), 2_000.0)?;
        range("min_delay_packets", self.min_delay_packets.into(), 1.0, 100.0)?;
        range("max_delay_packets", self.max_delay_packets.into(), self.min_delay_packets.into(), 100.0)?;
        range("quantile", self.quantile, 0.5, 0.999)?;
        range("memory_ms", self.memory_ms.into(), 500.0, 120_000.0)?;
        range("decay_ms", self.decay_ms.into(), 200.0, 120_000.0)?;
        range("max_conceal_ms", self.max_conceal_ms.into(), 20.0, 2_000.0)?;
        range("idle_ms", self.idle_ms.into(), self.max_conceal_ms.into(), 10_000.0)?;
        range("start_margin_ms", self.start_margin_ms.into(), 0.0, self.max_delay_ms.into())?;
        range("max_packets", self.max_packets as f64, 16.0, 4_096.0)?;
        range("max_bytes", self.max_bytes as f64, 16_384.0, f64::from(1 << 26))
    }

    pub(super) fn tuning(&self, sample_rate: u32) -> Tuning {
        let samples = |ms: u32| f64::from(ms) * f64::from(sample_rate) / 1000.0;
        Tuning {
            quantile: self.quantile,
            memory: samples(self.memory_ms),
            decay: samples(self.decay_ms),
            longest: samples(self.max_delay_ms) as i64,
            rate: sample_rate.into(),
        }
    }
}

/// Whether a buffer can give out this.
pub(super) fn check_output(sample_rate: u32, channels: usize) -> Result<()> {
    one_of("sample_rate", sample_rate, &SAMPLE_RATES)?;
    range("channels", channels as f64, 1.0, MAX_CHANNELS as f64)
}

fn one_of(name: &str, value: u32, offered: &[u32]) -> Result<()> {
    if offered.contains(&value) {
        return Ok(());
    }
    let list: Vec<String> = offered.iter().map(u32::to_string).collect();
    Err(Error::unsupported(format!("{name} must be one of {}, not {value}", list.join(", "))))
}

fn range(name: &str, value: f64, least: f64, most: f64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::unsupported(format!("{name} must be {least} to {most}, not {value}")))
}
