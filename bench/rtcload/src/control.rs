//! What the benchmark says and hears: one JSON object a line.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

/// From the benchmark.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Make WebRTC peers; answered by [`Told::Offers`].
    Offer {
        /// How many.
        count: usize,
        /// Directions of each one's lines of audio.
        lines: Vec<String>,
    },
    /// The server's answers to the last offers, in their order; answered by [`Told::Connected`].
    Answer {
        /// SDP.
        answers: Vec<String>,
    },
    /// Make participants without WebRTC, which send to these addresses; answered by [`Told::Listening`].
    Plain {
        /// IPv4 address and port of each.
        servers: Vec<String>,
    },
    /// Where the next so many participants would be; answered by [`Told::Listening`].
    Where {
        /// How many.
        count: usize,
    },
    /// A sound to be sent: packets of Opus in hexadecimal, and their levels.
    Sound {
        /// In the order in which they are sent, over and over.
        packets: Vec<(String, u8)>,
    },
    /// Send; answered by [`Told::Warm`], [`Told::Sent`] and [`Told::Result`].
    Run(Plan),
}

/// Who sends what.
#[derive(Deserialize)]
pub struct Plan {
    /// Seconds of sending before anything counts.
    pub warm: f64,
    /// Seconds that count.
    pub seconds: f64,
    /// Milliseconds between two packets of a sender.
    pub interval: u32,
    /// Peer, sound (by its order), and the packet to begin with.
    pub senders: Vec<(usize, usize, usize)>,
    /// Put sender and number into each packet, so that what is forwarded untouched is known again.
    #[serde(default)]
    pub tag: bool,
    /// One system call a packet, so that none waits for another.
    #[serde(default)]
    pub precise: bool,
    /// Peers of whom every packet is told.
    #[serde(default)]
    pub record: Vec<usize>,
}

/// To the benchmark.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// SDP of each new peer.
    Offers(Vec<String>),
    /// All are connected; seconds it took.
    Connected(f64),
    /// Where participants listen.
    Listening(Vec<String>),
    /// What counts begins now.
    Warm(f64),
    /// What counts is over.
    Sent(f64),
    /// What came of it.
    Result(Box<Outcome>),
    /// What went wrong.
    Error(String),
}

/// What came of a run; counts are of the time that counts.
#[derive(Serialize, Default)]
pub struct Outcome {
    /// Packets sent.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
    /// Bytes of Opus in them.
    pub octets: u64,
    /// Tagged packets that were sent in this time and came back, each listener's counted.
    pub matched: u64,
    /// Packets received by each peer.
    pub by_peer: Vec<u32>,
    /// Nanoseconds from before the sending system call to the kernel's stamp on arrival, of tagged packets: at 0, 0.1
    /// and so on to 100 percent, then at 99, 99.9.
    pub delays: Option<Delays>,
    /// Share of a core that this process took.
    pub busy: f64,
    /// Seconds by which a packet was sent too late: greatest.
    pub late: f64,
    /// Seconds by which packets were sent too late: mean.
    pub late_mean: f64,
    /// Of recorded peers: peer, nanoseconds of arrival, RTP timestamp, Opus in hexadecimal.
    pub heard: Vec<(usize, u64, u32, String)>,
    /// Of senders while there are recorded peers: peer, number of the packet, nanoseconds of sending.
    pub said: Vec<(usize, u64, u64)>,
}

/// Delays in nanoseconds.
#[derive(Serialize)]
pub struct Delays {
    /// Least.
    pub least: u64,
    /// Median.
    pub median: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Greatest.
    pub most: u64,
}

/// Tell the benchmark.
pub fn tell(told: &Told) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, told)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Bytes of a hexadecimal text.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |at: usize| (digits[at] as char).to_digit(16).map(|value| value as u8);
    digits.len().is_multiple_of(2).then_some(())?;
    (0..digits.len() / 2).map(|at| Some(digit(2 * at)? << 4 | digit(2 * at + 1)?)).collect()
}

/// Hexadecimal text of bytes.
pub fn hexadecimal(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}
