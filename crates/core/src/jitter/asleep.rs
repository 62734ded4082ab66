//! A stream that nobody hears: its time goes on, its packets are not decoded, and the last of them are kept so that the
//! decoder can take up the sound where it is wanted again.

use std::collections::VecDeque;

use super::decoder::FrameDecoder;
use super::fifo::Fifo;
use super::queue::Queue;

/// A decoder that has heard so much of the stream gives what one gives that has heard all of it, within what can be heard.
const WARM_UP_MS: u32 = 160;
/// Most packets kept.
const MOST: usize = 16;
/// Of a gap that nobody heard the decoder is told no more than this.
const GAP_MS: u32 = 40;

/// What the decoder has missed.
#[derive(Debug)]
struct Missed {
    /// A packet, or nothing for samples to be concealed.
    payload: Vec<u8>,
    samples: usize,
}

/// What happens while the stream is not heard.
#[derive(Debug)]
pub struct Asleep {
    asleep: bool,
    /// The decoder has been told of everything but what is kept.
    whole: bool,
    kept: VecDeque<Missed>,
    /// Samples of all that is kept.
    samples: usize,
    warm_up: usize,
    gap: usize,
    /// Decode what comes in this tick, to learn how loud it is.
    pub(super) look: bool,
    /// Mean square of what was so decoded.
    pub(super) power: Option<f32>,
    scratch: Vec<f32>,
}

impl Asleep {
    /// Awake, for a decoder of so many samples a second.
    pub fn new(rate: u32) -> Self {
        let samples = |ms: u32| (ms * rate / 1000) as usize;
        Self {
            asleep: false,
            whole: true,
            kept: VecDeque::new(),
            samples: 0,
            warm_up: samples(WARM_UP_MS),
            gap: samples(GAP_MS),
            look: false,
            power: None,
            scratch: Vec::new(),
        }
    }

    /// Whether nothing is decoded.
    pub fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// From now on nothing is decoded; `look` lets it happen for this tick, only to measure.
    pub fn sleep(&mut self, look: bool) {
        self.asleep = true;
        (self.look, self.power) = (look, None);
    }

    /// Keeps a packet that is not decoded; memory that is no longer needed goes to `queue`.
    pub fn keep<D: FrameDecoder>(
        &mut self,
        payload: Vec<u8>,
        samples: usize,
        pausing: bool,
        decoder: &mut D,
        queue: &mut Queue,
    ) {
        if self.look && !pausing {
            self.measure(&payload, samples, decoder);
        }
        self.samples += samples;
        self.kept.push_back(Missed { payload, samples });
        while self.kept.len() > MOST
            || self.kept.front().is_some_and(|first| self.samples - first.samples >= self.warm_up)
        {
            let Some(first) = self.kept.pop_front() else { break };
            self.samples -= first.samples;
            self.whole = false;
            queue.recycle(first.payload);
        }
    }

    fn measure<D: FrameDecoder>(&mut self, payload: &[u8], samples: usize, decoder: &mut D) {
        self.whole = false;
        self.scratch.resize(samples * decoder.channels(), 0.0);
        let Ok(decoded) = decoder.decode(payload, &mut self.scratch) else { return };
        let pcm = &self.scratch[..decoded * decoder.channels()];
        let power = crate::timescale::energy(pcm) / pcm.len().max(1) as f32;
        self.power = Some(self.power.map_or(power, |before| before.max(power)));
    }

    /// Notes that so many samples were not there.
    pub fn miss(&mut self, samples: usize) {
        match self.kept.back_mut().filter(|last| last.payload.is_empty()) {
            Some(last) => {
                let more = samples.min(self.gap.saturating_sub(last.samples));
                last.samples += more;
                self.samples += more;
            }
            None => {
                let samples = samples.min(self.gap);
                self.samples += samples;
                self.kept.push_back(Missed { payload: Vec::new(), samples });
            }
        }
    }

    /// Forgets the stream; who sleeps goes on sleeping.
    pub fn forget(&mut self, queue: Option<&mut Queue>) {
        self.samples = 0;
        self.whole = true;
        match queue {
            Some(queue) => self.kept.drain(..).for_each(|missed| queue.recycle(missed.payload)),
            None => self.kept.clear(),
        }
    }

    /// Lets the decoder hear what it has missed, and puts what of that is still to be played into `fifo`.
    pub fn wake<D: FrameDecoder>(&mut self, decoder: &mut D, fifo: &mut Fifo, queue: &mut Queue) {
        if !std::mem::take(&mut self.asleep) {
            return;
        }
        self.look = false;
        if !self.whole {
            decoder.reset();
        }
        let channels = decoder.channels();
        let mut left = self.samples;
        let awaited = fifo.skipped();
        for missed in &self.kept {
            self.scratch.resize(missed.samples * channels, 0.0);
            let decoded =
                if missed.payload.is_empty() { None } else { decoder.decode(&missed.payload, &mut self.scratch).ok() };
            if decoded.is_none() && decoder.conceal(&mut self.scratch).is_err() {
                self.scratch.fill(0.0);
            }
            // These samples end `left - missed.samples` before the end of what is in the fifo.
            let behind = left - missed.samples;
            if behind < awaited {
                let count = missed.samples.min(awaited - behind);
                let from = (missed.samples - count) * channels;
                fifo.last(behind + count)[..count * channels].copy_from_slice(&self.scratch[from..]);
            }
            left = behind;
        }
        fifo.take_for_decoded();
        self.forget(Some(queue));
    }
}
