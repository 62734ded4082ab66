/// What one pulled frame is made of, by the most of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    /// Decoded audio.
    Played,
    /// Extrapolated, because the audio was lost or had not come.
    Concealed,
    /// Decoded from the in-band error correction of the packet behind the lost one.
    Recovered,
    /// Decoded audio, lengthened by pitch periods so that the delay grows.
    Stretched,
    /// Decoded audio, shortened by pitch periods so that the delay shrinks.
    Compressed,
    /// Nothing to play: before the stream, between talk spurts, and where it has been gone for long.
    Silence,
}

impl Tag {
    /// The tag in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Played => "played",
            Self::Concealed => "concealed",
            Self::Recovered => "recovered",
            Self::Stretched => "stretched",
            Self::Compressed => "compressed",
            Self::Silence => "silence",
        }
    }
}

/// Counters since the buffer was made, and how it stands.
///
/// Packets: `received` = `duplicates` + `late` + `overflowed` + `corrupt` + those played or skipped + those still in the buffer
/// (and those that a restart swept away).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Packets pushed whose payload can be read.
    pub received: u64,
    /// Packets that had not come when their turn was over.
    pub lost: u64,
    /// Packets that came when their turn was over, or later than the greatest delay.
    pub late: u64,
    /// Packets that had come before.
    pub duplicates: u64,
    /// Packets that came behind one with a higher sequence number.
    pub reordered: u64,
    /// Packets refused for their payload.
    pub rejected: u64,
    /// Packets dropped, oldest first, because nobody pulled.
    pub overflowed: u64,
    /// Packets that the decoder could not decode.
    pub corrupt: u64,
    /// Samples of decoded audio given out.
    pub played_samples: u64,
    /// Samples extrapolated.
    pub concealed_samples: u64,
    /// Samples decoded from error correction.
    pub recovered_samples: u64,
    /// Samples of silence.
    pub silence_samples: u64,
    /// Samples whose turn came while nobody heard them.
    pub skipped_samples: u64,
    /// Samples put in by stretching.
    pub stretched_samples: u64,
    /// Samples taken out by compressing.
    pub compressed_samples: u64,
    /// How often the buffer ran dry.
    pub underruns: u64,
    /// How often the stream began anew: another source, or a jump that went on.
    pub resets: u64,
    /// Packets waiting.
    pub packets: usize,
    /// Bytes of payload waiting.
    pub bytes: usize,
    /// Playout delay aimed at, in milliseconds behind the fastest packet.
    pub target_ms: f64,
    /// Playout delay as it is, in milliseconds behind the fastest packet; 0 before anything plays.
    pub delay_ms: f64,
    /// Mean of the playout delay over all frames pulled while the stream played.
    pub mean_delay_ms: f64,
    /// Interarrival jitter as RFC 3550, section 6.4.1 has it, in milliseconds.
    pub jitter_ms: f64,
}
