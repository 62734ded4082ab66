use std::ffi::c_int;
use std::fmt;
use std::ptr;

use opusic_sys as sys;

use super::ffi::{DEEP, LIGHT, Library, State, check, length};
use super::packet::PacketInfo;
use super::values;
use crate::{Error, Result};

/// An Opus decoder, which is told of every packet in order: decoded, or lost and concealed or recovered.
#[derive(Clone)]
pub struct Decoder {
    library: &'static Library,
    pub(super) state: State,
    sample_rate: u32,
    channels: u8,
    complexity: u8,
    bandwidth_extension: bool,
}

impl Decoder {
    /// Become a copy of another decoder, which asks for no memory where both are of one kind and have as many
    /// channels.
    pub fn copy_from(&mut self, other: &Self) {
        self.library = other.library;
        self.state.copy_from(&other.state);
        self.sample_rate = other.sample_rate;
        self.channels = other.channels;
        self.complexity = other.complexity;
        self.bandwidth_extension = other.bandwidth_extension;
    }

    /// A decoder that gives samples at `sample_rate` Hz, one of [`SAMPLE_RATES`](super::SAMPLE_RATES), whatever the
    /// rate and channels of the packets.
    pub fn new(sample_rate: u32, channels: u8) -> Result<Self> {
        Self::of(&DEEP, sample_rate, channels)
    }

    /// A decoder of a tenth of the size, and a third faster: the same samples as of one whose complexity is under 5, and no
    /// other complexity than such; only that the frame after a loss is faded in, which the other leaves to its networks. It knows nothing of deep redundancy and of bandwidth extension.
    pub fn light(sample_rate: u32, channels: u8) -> Result<Self> {
        Self::of(&LIGHT, sample_rate, channels)
    }

    fn of(library: &'static Library, sample_rate: u32, channels: u8) -> Result<Self> {
        values::sample_rate(sample_rate.into())?;
        values::channels(channels.into())?;
        // SAFETY: opus_decoder_get_size only computes.
        let state = State::new(unsafe { (library.decoder_size)(channels.into()) });
        let mut decoder = Self { library, state, sample_rate, channels, complexity: 0, bandwidth_extension: false };
        decoder.initialise()?;
        Ok(decoder)
    }

    fn initialise(&mut self) -> Result<()> {
        // SAFETY: `state` has the bytes, aligned, that opus_decoder_get_size asked for so many channels.
        let answer = unsafe {
            (self.library.decoder_init)(self.state.get_mut(), self.sample_rate as c_int, self.channels.into())
        };
        check(answer, "the decoder could not be made")?;
        self.set(sys::OPUS_SET_COMPLEXITY_REQUEST, self.complexity.into())?;
        if !self.library.deep {
            return Ok(());
        }
        self.set(sys::OPUS_SET_OSCE_BWE_REQUEST, self.bandwidth_extension.into())
    }

    /// Decodes a packet, and returns the samples of one channel written to `out`, which must have room for all of
    /// them: 120 ms at most. May go beyond ±1: see [`SoftClip`](super::SoftClip).
    ///
    /// A packet that is malformed leaves the decoder as it was; conceal it then.
    pub fn decode_float(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize> {
        let frame = self.room_for(packet, out.len())?;
        self.call_float(packet, out, frame, false)
    }

    /// As [`decode_float`](Self::decode_float), to 16 bits, with soft clipping.
    pub fn decode(&mut self, packet: &[u8], out: &mut [i16]) -> Result<usize> {
        let frame = self.room_for(packet, out.len())?;
        self.call(packet, out, frame, false)
    }

    /// Fills `out`, a multiple of 2.5 ms, with what may have been in a packet that was lost.
    pub fn conceal_float(&mut self, out: &mut [f32]) -> Result<()> {
        self.check_steps(out.len())?;
        for block in out.chunks_mut(self.longest()) {
            let frame = block.len() / usize::from(self.channels);
            self.call_float(&[], block, frame, false)?;
        }
        Ok(())
    }

    /// As [`conceal_float`](Self::conceal_float), to 16 bits.
    pub fn conceal(&mut self, out: &mut [i16]) -> Result<()> {
        self.check_steps(out.len())?;
        for block in out.chunks_mut(self.longest()) {
            let frame = block.len() / usize::from(self.channels);
            self.call(&[], block, frame, false)?;
        }
        Ok(())
    }

    /// Fills `out`, a multiple of 2.5 ms, with what was lost just before `next`, by the in-band FEC that `next` carries
    /// (RFC 6716, section 2.1.7): `next` itself is decoded after this. Where it carries none, or covers only the
    /// end of `out`, the rest is concealed; so it is where `next` is malformed.
    pub fn recover_float(&mut self, next: &[u8], out: &mut [f32]) -> Result<()> {
        self.check_steps(out.len())?;
        let covered = self.covered_by_fec(next, out.len());
        let (concealed, recovered) = out.split_at_mut(out.len() - covered);
        self.conceal_float(concealed)?;
        if covered > 0 {
            self.call_float(next, recovered, covered / usize::from(self.channels), true)?;
        }
        Ok(())
    }

    /// As [`recover_float`](Self::recover_float), to 16 bits.
    pub fn recover(&mut self, next: &[u8], out: &mut [i16]) -> Result<()> {
        self.check_steps(out.len())?;
        let covered = self.covered_by_fec(next, out.len());
        let (concealed, recovered) = out.split_at_mut(out.len() - covered);
        self.conceal(concealed)?;
        if covered > 0 {
            self.call(next, recovered, covered / usize::from(self.channels), true)?;
        }
        Ok(())
    }

    /// Hertz of what comes out.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Channels of what comes out.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// The complexity set.
    pub fn complexity(&self) -> u8 {
        self.complexity
    }

    /// Sets the effort, 0 (at first) to 10: from 5 on, losses are concealed by a neural network; from 6 on, and more so
    /// from 7 on, speech coded at low rates is enhanced by another (which changes what good packets decode to).
    /// Only speech of 16 kHz (wide band, or the SILK part of hybrid) is concealed and enhanced so, and CELT concealed.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what is no such number, and for more than 4 where the decoder is a light one.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<()> {
        values::complexity(complexity.into())?;
        if complexity > SHALLOW {
            self.deep("a complexity of 5 or more")?;
        }
        self.set(sys::OPUS_SET_COMPLEXITY_REQUEST, complexity.into())?;
        self.complexity = complexity;
        Ok(())
    }

    /// Whether wide-band speech is given a synthetic upper band; needs 48 000 Hz and a complexity of 4 or more.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the decoder is a light one.
    pub fn set_bandwidth_extension(&mut self, on: bool) -> Result<()> {
        if !self.library.deep && !on {
            return Ok(());
        }
        self.deep("bandwidth extension")?;
        self.set(sys::OPUS_SET_OSCE_BWE_REQUEST, on.into())?;
        self.bandwidth_extension = on;
        Ok(())
    }

    /// An error where the networks that `what` needs are not built in.
    pub(super) fn deep(&self, what: &str) -> Result<()> {
        if self.library.deep {
            return Ok(());
        }
        Err(Error::unsupported(format!("{what} needs a decoder with networks; this is a light one")))
    }

    /// Whether wide-band speech is given a synthetic upper band.
    pub fn bandwidth_extension(&self) -> bool {
        self.bandwidth_extension
    }

    /// State of the entropy coder after the last packet, the same as its encoder's (RFC 8251).
    pub fn final_range(&self) -> u32 {
        self.get(sys::OPUS_GET_FINAL_RANGE_REQUEST).cast_unsigned()
    }

    /// Forgets all audio; the settings stay.
    pub fn reset(&mut self) {
        // OPUS_RESET_STATE leaves traces.
        self.initialise().expect("libopus took these settings before");
    }

    /// Samples of all channels in 120 ms, more than which libopus would put on the stack.
    pub(super) fn longest(&self) -> usize {
        self.sample_rate as usize / 25 * 3 * usize::from(self.channels)
    }

    fn room_for(&self, packet: &[u8], room: usize) -> Result<usize> {
        let info = PacketInfo::parse(packet)?;
        let samples = info.samples(self.sample_rate);
        if room < samples * usize::from(self.channels) {
            return Err(Error::unsupported(format!(
                "the packet holds {samples} samples for each of {} channel(s), {} in all; there is room for {room}",
                self.channels,
                samples * usize::from(self.channels),
            )));
        }
        Ok(samples)
    }

    pub(super) fn check_steps(&self, samples: usize) -> Result<()> {
        let step = self.sample_rate as usize / 400 * usize::from(self.channels);
        if samples.is_multiple_of(step) {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "what is concealed must be a multiple of 2.5 ms, {step} samples at {} Hz with {} channel(s); got {samples}",
            self.sample_rate, self.channels
        )))
    }

    /// Samples of all channels at the end of `room` that the FEC in `next` is for.
    fn covered_by_fec(&self, next: &[u8], room: usize) -> usize {
        match PacketInfo::parse(next) {
            Ok(info) if info.fec => {
                let frame = info.frame_samples(self.sample_rate) * usize::from(self.channels);
                if frame <= room { frame } else { 0 }
            }
            _ => 0,
        }
    }

    /// An empty packet is one that was lost. `frame` × channels is at most the length of `out`, and 120 ms.
    fn call_float(&mut self, packet: &[u8], out: &mut [f32], frame: usize, fec: bool) -> Result<usize> {
        debug_assert!(frame * usize::from(self.channels) <= out.len());
        let data = if packet.is_empty() { ptr::null() } else { packet.as_ptr() };
        // SAFETY: the state was initialised by opus_decoder_init; `packet` is readable for its length (null with 0 is
        // a loss); libopus writes at most frame × channels samples, for which there is room in `out`.
        let answer = unsafe {
            (self.library.decode_float)(
                self.state.get_mut(),
                data,
                length(packet.len()),
                out.as_mut_ptr(),
                length(frame),
                fec.into(),
            )
        };
        check(answer, "the packet could not be decoded")
    }

    fn call(&mut self, packet: &[u8], out: &mut [i16], frame: usize, fec: bool) -> Result<usize> {
        debug_assert!(frame * usize::from(self.channels) <= out.len());
        let data = if packet.is_empty() { ptr::null() } else { packet.as_ptr() };
        // SAFETY: as in `call_float`.
        let answer = unsafe {
            (self.library.decode)(
                self.state.get_mut(),
                data,
                length(packet.len()),
                out.as_mut_ptr(),
                length(frame),
                fec.into(),
            )
        };
        check(answer, "the packet could not be decoded")
    }

    fn set(&mut self, request: c_int, value: c_int) -> Result<()> {
        // SAFETY: the state was initialised, and each OPUS_SET_… request used here takes one opus_int32.
        let answer = unsafe { (self.library.decoder_ctl)(self.state.get_mut(), request, value) };
        check(answer, "libopus refused a setting").map(|_| ())
    }

    fn get(&self, request: c_int) -> i32 {
        let mut value: i32 = 0;
        // SAFETY: the state was initialised; each OPUS_GET_… request used here only reads it and writes 32 bits to
        // the address given.
        unsafe { (self.library.decoder_ctl)(self.state.get::<sys::OpusDecoder>().cast_mut(), request, &raw mut value) };
        value
    }
}

/// The highest complexity at which no network runs.
const SHALLOW: u8 = 4;

impl fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Decoder")
            .field("sample_rate", &self.sample_rate)
            .field("channels", &self.channels)
            .field("complexity", &self.complexity)
            .finish_non_exhaustive()
    }
}
