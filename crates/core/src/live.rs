//! A live stream of Opus on its way in: packets, or a container's bytes, become mono samples as they come.
//!
//! Taking bytes and decoding them are two steps, so that whoever calls can say how much is decoded at once: a few bytes
//! may hold many seconds of audio.

use std::collections::VecDeque;

use crate::container::ogg::OggDemuxer;
use crate::container::webm::WebmDemuxer;
use crate::container::{CLOCK, Event, Header};
use crate::opus::{Decoder, PacketInfo};
use crate::{Error, Result};

/// Longest loss that is concealed; what is longer is a [`Decoded::gap`].
const CONCEALED: u32 = CLOCK / 1000 * 120;
/// Jumps of the timestamp beyond this are a restart of the sender's clock, not a gap.
const LONGEST_GAP: u64 = 60 * CLOCK as u64;
/// How far the times of a container may be off without anything being lost: browsers stamp the time of capture, which
/// trembles by up to 10 ms, and WebM counts in milliseconds.
const TREMBLE: i64 = CLOCK as i64 / 50;
/// Samples of 48 kHz in 2.5 ms, in whose multiples losses are concealed.
const STEP: u32 = CLOCK / 400;

/// How the packets come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// One packet a message.
    Packets,
    /// The bytes of a WebM stream.
    Webm,
    /// The bytes of an Ogg stream.
    Ogg,
}

enum Source {
    Packets,
    Webm(Box<WebmDemuxer>),
    Ogg(Box<OggDemuxer>),
}

/// A packet that waits to be decoded, in samples of 48 kHz.
struct Waiting {
    data: Vec<u8>,
    /// Samples before it that never came.
    gap: u64,
    duration: u32,
    discard_start: u32,
    discard_end: u32,
    /// The stream begins anew with it, at this gain.
    begins: Option<f32>,
}

/// A stretch of decoded audio.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Samples before it that nobody sent, or that were lost and are too many to be concealed.
    pub gap: u64,
    /// What was heard.
    pub pcm: Vec<i16>,
}

/// Decodes one live stream to mono.
pub struct LiveDecoder {
    source: Source,
    decoder: Decoder,
    rate: u32,
    gain: f32,
    queue: VecDeque<Waiting>,
    waiting: u64,
    lost: u64,
    begins: Option<f32>,
    /// Where the container's next packet belongs if nothing is lost, by the lengths of those before it.
    expected: Option<i64>,
    fault: Option<Error>,
    concealed: u64,
    damaged: u64,
    pcm: Vec<i16>,
}

impl LiveDecoder {
    /// A decoder that gives samples at `sample_rate` Hz, a rate of Opus.
    ///
    /// # Errors
    /// [`Error::Unsupported`], which lists the rates.
    pub fn new(carrier: Carrier, sample_rate: u32) -> Result<Self> {
        let source = match carrier {
            Carrier::Packets => Source::Packets,
            Carrier::Webm => Source::Webm(Box::default()),
            Carrier::Ogg => Source::Ogg(Box::default()),
        };
        Ok(Self {
            source,
            decoder: Decoder::light(sample_rate, 1)?,
            rate: sample_rate,
            gain: 1.0,
            queue: VecDeque::new(),
            waiting: 0,
            lost: 0,
            begins: None,
            expected: None,
            fault: None,
            concealed: 0,
            damaged: 0,
            pcm: Vec::new(),
        })
    }

    /// Take a packet, or the next bytes of the container; returns the samples of 48 kHz that this made ready.
    ///
    /// What is wrong with a container's bytes may come after good packets, so it is told by [`Self::take_fault`].
    ///
    /// # Errors
    /// [`Error::Malformed`] for a packet that is none, of which nothing was taken.
    pub fn push(&mut self, bytes: &[u8]) -> Result<u64> {
        let before = self.waiting;
        let pushed = match &mut self.source {
            Source::Packets => {
                let duration = PacketInfo::parse(bytes)?.samples(CLOCK) as u32;
                let gap = std::mem::take(&mut self.lost);
                self.enqueue(Waiting { gap, duration, ..Waiting::packet(bytes) });
                return Ok(u64::from(duration));
            }
            Source::Webm(demuxer) => demuxer.push(bytes),
            Source::Ogg(demuxer) => demuxer.push(bytes),
        };
        self.settle(pushed);
        Ok(self.waiting - before)
    }

    /// What was wrong with the container since this was asked last: [`Error::Malformed`] where the bytes are not it,
    /// [`Error::Unsupported`] where it holds something else. The next bytes are taken as a stream that is joined in the
    /// middle or begins anew.
    pub fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }

    /// Samples of 48 kHz were lost before what is pushed next, which only a carrier of packets has to be told.
    pub fn lost(&mut self, samples: u64) {
        self.lost = self.lost.saturating_add(samples);
    }

    /// No more will come; returns the samples of 48 kHz that this made ready.
    pub fn finish(&mut self) -> u64 {
        let before = self.waiting;
        match &mut self.source {
            Source::Webm(demuxer) => demuxer.finish(),
            Source::Ogg(demuxer) => demuxer.finish(),
            Source::Packets => {}
        }
        self.settle(Ok(()));
        self.waiting - before
    }

    /// Samples of 48 kHz that wait to be decoded.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Samples of 48 kHz that were lost and concealed.
    #[must_use]
    pub fn concealed(&self) -> u64 {
        self.concealed
    }

    /// Packets that could not be decoded and were concealed.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Decode what waits, up to about `limit` samples of 48 kHz, as stretches with nothing missing in them.
    pub fn decode(&mut self, limit: u64) -> Vec<Decoded> {
        let mut stretches = Vec::new();
        let mut stretch = Decoded::default();
        let mut left = limit;
        while left > 0
            && let Some(packet) = self.queue.pop_front()
        {
            let duration = u64::from(packet.duration);
            self.waiting -= duration;
            left = left.saturating_sub(duration);
            if let Some(gain) = packet.begins {
                self.decoder.reset();
                self.gain = gain;
            } else if packet.gap > u64::from(CONCEALED) {
                if !stretch.pcm.is_empty() {
                    stretches.push(std::mem::take(&mut stretch));
                }
                stretch.gap += self.scaled(packet.gap);
            } else if packet.gap > 0 {
                self.conceal(packet.gap as u32, &packet.data, &mut stretch.pcm);
            }
            self.decode_packet(&packet, &mut stretch.pcm);
        }
        if stretch.gap > 0 || !stretch.pcm.is_empty() {
            stretches.push(stretch);
        }
        stretches
    }

    /// Queue what the container holds; where it is broken, keep the reason and begin anew.
    fn settle(&mut self, pushed: Result<()>) {
        if let Err(fault) = pushed.and_then(|()| self.drain()) {
            self.fault = Some(fault);
            match &mut self.source {
                Source::Webm(demuxer) => **demuxer = WebmDemuxer::new(),
                Source::Ogg(demuxer) => **demuxer = OggDemuxer::new(),
                Source::Packets => {}
            }
            self.expected = None;
        }
    }

    fn drain(&mut self) -> Result<()> {
        loop {
            let event = match &mut self.source {
                Source::Webm(demuxer) => demuxer.next_event()?,
                Source::Ogg(demuxer) => demuxer.next_event()?,
                Source::Packets => None,
            };
            match event {
                None | Some(Event::End { .. }) => return Ok(()),
                Some(Event::Gap(_)) => {}
                Some(Event::Header(header)) => self.begins = Some(gain(&header)?),
                Some(Event::Packet(packet)) => {
                    let starts = packet.timestamp + i64::from(packet.discard_start);
                    let heard = i64::from(packet.duration) - i64::from(packet.discard_start + packet.discard_end);
                    let expected = self.expected.unwrap_or(starts);
                    let missing = starts.saturating_sub(expected);
                    let gap = if missing > TREMBLE { missing as u64 } else { 0 };
                    self.expected = Some(if gap > 0 { starts } else { expected } + heard);
                    let waiting = Waiting {
                        gap: if gap > LONGEST_GAP { 0 } else { gap },
                        duration: packet.duration,
                        discard_start: packet.discard_start,
                        discard_end: packet.discard_end,
                        begins: self.begins.take(),
                        ..Waiting::packet(packet.data)
                    };
                    self.waiting += u64::from(waiting.duration);
                    self.queue.push_back(waiting);
                }
            }
        }
    }

    fn enqueue(&mut self, packet: Waiting) {
        self.waiting += u64::from(packet.duration);
        self.queue.push_back(packet);
    }

    /// Samples of 48 kHz in samples of the output.
    fn scaled(&self, samples: u64) -> u64 {
        samples * u64::from(self.rate) / u64::from(CLOCK)
    }

    fn decode_packet(&mut self, packet: &Waiting, out: &mut Vec<i16>) {
        let samples = self.scaled(packet.duration.into()) as usize;
        self.pcm.clear();
        self.pcm.resize(samples, 0);
        if self.decoder.decode(&packet.data, &mut self.pcm).is_err() {
            self.damaged += 1;
            self.pcm.fill(0);
            // a packet lasts a multiple of 2.5 ms, so that this can't fail
            let _ = self.decoder.conceal(&mut self.pcm);
        }
        if self.gain != 1.0 {
            for sample in &mut self.pcm {
                *sample = (f32::from(*sample) * self.gain) as i16;
            }
        }
        let from = (self.scaled(packet.discard_start.into()) as usize).min(samples);
        let to = samples - (self.scaled(packet.discard_end.into()) as usize).min(samples - from);
        out.extend_from_slice(&self.pcm[from..to]);
    }

    /// Fill in `lost` samples of 48 kHz before the packet `next`, which may carry them once more.
    fn conceal(&mut self, lost: u32, next: &[u8], out: &mut Vec<i16>) {
        let whole = lost / STEP * STEP;
        self.concealed += u64::from(lost);
        self.pcm.clear();
        self.pcm.resize(self.scaled(whole.into()) as usize, 0);
        if self.decoder.recover(next, &mut self.pcm).is_err() {
            self.pcm.fill(0);
        }
        out.extend_from_slice(&self.pcm);
        let rest = self.scaled((lost - whole).into()) as usize;
        out.extend(std::iter::repeat_n(0, rest));
    }
}

impl Waiting {
    fn packet(data: &[u8]) -> Self {
        Self { data: data.to_vec(), gap: 0, duration: 0, discard_start: 0, discard_end: 0, begins: None }
    }
}

impl std::fmt::Debug for LiveDecoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LiveDecoder").field("rate", &self.rate).finish_non_exhaustive()
    }
}

/// What a stream asks its samples to be multiplied by (RFC 7845 section 5.1).
fn gain(header: &Header) -> Result<f32> {
    let head = &header.head;
    if head.mapping.family != 0 {
        return Err(Error::unsupported(format!(
            "{} channels of Opus in channel mapping family {}; a live stream has mono or stereo, family 0",
            head.channels, head.mapping.family
        )));
    }
    Ok(if head.output_gain == 0 { 1.0 } else { 10f32.powf(f32::from(head.output_gain) / (20.0 * 256.0)) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::container::OpusHead;
    use crate::container::Tags;
    use crate::container::ogg::{OggWriter, PageFlush};
    use crate::opus::{Encoder, EncoderConfig};

    const FRAME: usize = 960;

    /// `count` packets of 20 ms of a tone of 440 Hz.
    fn tone(count: usize) -> Vec<Vec<u8>> {
        let config =
            EncoderConfig { sample_rate: 48_000, channels: 1, fec: true, expected_loss: 20, ..Default::default() };
        let mut encoder = Encoder::new(&config).unwrap();
        let sample = |n: usize| (n as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin() * 0.4;
        (0..count)
            .map(|packet| {
                let pcm: Vec<f32> = (0..FRAME).map(|n| sample(packet * FRAME + n)).collect();
                let mut out = [0; 1500];
                let size = encoder.encode_float(&pcm, &mut out).unwrap();
                out[..size].to_vec()
            })
            .collect()
    }

    fn loudness(pcm: &[i16]) -> f64 {
        (pcm.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / pcm.len() as f64).sqrt()
    }

    fn ogg(packets: &[Vec<u8>]) -> Vec<u8> {
        let head = OpusHead::new(1, 312, 48_000).unwrap();
        let mut bytes = Vec::new();
        let mut writer = OggWriter::new(head, &Tags::default(), 7, PageFlush::default()).unwrap();
        for packet in packets {
            writer.write(packet, &mut bytes).unwrap();
        }
        writer.finish(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn packets_become_as_much_audio_as_they_hold() {
        let mut live = LiveDecoder::new(Carrier::Packets, 16_000).unwrap();
        for packet in tone(50) {
            assert_eq!(live.push(&packet).unwrap(), 960);
        }
        let heard = live.decode(u64::MAX);
        assert_eq!((heard.len(), heard[0].gap, heard[0].pcm.len()), (1, 0, 16_000));
        assert!((loudness(&heard[0].pcm[4000..]) / (0.4 * 32768.0 / 2f64.sqrt()) - 1.0).abs() < 0.1);
        assert_eq!(live.waiting(), 0);
    }

    #[test]
    fn no_more_is_decoded_at_once_than_was_asked_for() {
        let mut live = LiveDecoder::new(Carrier::Packets, 48_000).unwrap();
        for packet in tone(50) {
            live.push(&packet).unwrap();
        }
        assert_eq!(live.decode(9600)[0].pcm.len(), 9600);
        assert_eq!(live.waiting(), 40 * 960);
    }

    #[test]
    fn a_short_loss_is_made_up_for_and_a_long_one_is_a_gap() {
        let packets = tone(50);
        let mut live = LiveDecoder::new(Carrier::Packets, 16_000).unwrap();
        for packet in &packets[..20] {
            live.push(packet).unwrap();
        }
        live.lost(2 * 960);
        live.push(&packets[22]).unwrap();
        live.lost(10 * 960);
        live.push(&packets[33]).unwrap();
        let heard = live.decode(u64::MAX);
        assert_eq!(heard.len(), 2);
        assert_eq!((heard[0].gap, heard[0].pcm.len()), (0, 23 * 320));
        assert_eq!((heard[1].gap, heard[1].pcm.len()), (10 * 320, 320));
        let (before, during) = (&heard[0].pcm[18 * 320..20 * 320], &heard[0].pcm[20 * 320..22 * 320]);
        assert!(loudness(during) > 0.5 * loudness(before), "a tone goes on through the loss");
        assert_eq!(live.concealed(), 2 * 960);
    }

    #[test]
    fn a_container_gives_the_same_audio_however_its_bytes_are_cut() {
        let bytes = ogg(&tone(50));
        let mut whole = LiveDecoder::new(Carrier::Ogg, 16_000).unwrap();
        whole.push(&bytes).unwrap();
        whole.finish();
        let wanted = whole.decode(u64::MAX);
        assert_eq!(wanted[0].pcm.len(), 16_000 - 104, "the pre-skip of 312 samples at 48 kHz is dropped");
        for size in [1, 7, 100, 3000] {
            let mut live = LiveDecoder::new(Carrier::Ogg, 16_000).unwrap();
            let mut pcm = Vec::new();
            for piece in bytes.chunks(size) {
                live.push(piece).unwrap();
                pcm.extend(live.decode(u64::MAX).into_iter().flat_map(|stretch| stretch.pcm));
            }
            live.finish();
            pcm.extend(live.decode(u64::MAX).into_iter().flat_map(|stretch| stretch.pcm));
            assert!(pcm == wanted[0].pcm, "in pieces of {size} bytes");
        }
    }

    #[test]
    fn what_is_no_packet_is_refused_and_a_broken_one_is_concealed() {
        let mut live = LiveDecoder::new(Carrier::Packets, 16_000).unwrap();
        assert!(matches!(live.push(&[]), Err(Error::Malformed { .. })));
        assert!(matches!(live.push(&[0x7b, 0]), Err(Error::Malformed { .. })));
        assert_eq!(live.waiting(), 0);
        assert!(matches!(LiveDecoder::new(Carrier::Packets, 44_100), Err(Error::Unsupported(_))));
    }

    #[test]
    fn bytes_that_are_no_container_are_refused_and_a_container_may_follow() {
        let good = ogg(&tone(50));
        let mut live = LiveDecoder::new(Carrier::Ogg, 16_000).unwrap();
        live.push(&b"RIFF\0\0\0\0WAVEfmt ".repeat(400)).unwrap();
        assert!(live.take_fault().is_some());
        assert!(live.take_fault().is_none());
        live.push(&good).unwrap();
        live.finish();
        assert!(live.take_fault().is_none());
        assert_eq!(live.decode(u64::MAX)[0].pcm.len(), 16_000 - 104);
        let mut webm = LiveDecoder::new(Carrier::Webm, 16_000).unwrap();
        webm.push(&good).unwrap();
        assert!(webm.take_fault().is_some());
    }

    #[test]
    fn the_clocks_of_browsers_tremble_and_nothing_is_lost_for_that() {
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/containers");
        for (name, carrier) in [
            ("chromium-audio.webm", Carrier::Webm),
            ("chromium-video.webm", Carrier::Webm),
            ("firefox-audio.webm", Carrier::Webm),
            ("firefox-audio.ogg", Carrier::Ogg),
        ] {
            let mut live = LiveDecoder::new(carrier, 48_000).unwrap();
            let ready = live.push(&std::fs::read(recorded.join(name)).unwrap()).unwrap() + live.finish();
            let heard = live.decode(u64::MAX);
            assert!(live.take_fault().is_none(), "{name}");
            assert_eq!((heard.len(), heard[0].gap, live.concealed()), (1, 0, 0), "{name}");
            assert!(ready > 48_000 && heard[0].pcm.len() as u64 <= ready, "{name}");
        }
    }
}
