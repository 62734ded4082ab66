use std::ffi::c_int;
use std::fmt;

use opusic_sys as sys;

use super::Decoder;
use super::ffi::{State, check, length};
use super::packet::PacketInfo;
use super::values::{self, MAX_DRED_MS};
use crate::Result;

/// What a packet's deep redundancy says of the audio before it (draft-ietf-mlcodec-opus-dred).
///
/// After a loss, [`parse`](Self::parse) the packet that came, and let the decoder
/// [`recover_dred`](Decoder::recover_dred) frame after frame of what was lost, the oldest first; then decode the packet.
pub struct Dred {
    model: State,
    content: State,
    reach: usize,
    gap: usize,
}

impl Dred {
    /// A reader of deep redundancy; it keeps nothing but the last packet's, so one serves many streams.
    pub fn new() -> Result<Self> {
        // SAFETY: both only compute.
        let (model, content) = unsafe { (sys::opus_dred_decoder_get_size(), sys::opus_dred_get_size()) };
        let mut model = State::new(model);
        // SAFETY: `model` has the bytes, aligned, that opus_dred_decoder_get_size asked for.
        check(unsafe { sys::opus_dred_decoder_init(model.get_mut()) }, "deep redundancy is not built in")?;
        Ok(Self { model, content: State::new(content), reach: 0, gap: 0 })
    }

    /// Reads what `packet` carries about up to `most` samples (of one channel, at `sample_rate` Hz) before its first,
    /// and returns how many samples back that goes: 0 where it carries none. More than `most` is possible, up to 22
    /// seconds where there was a long silence. Takes as much time as decoding some frames.
    pub fn parse(&mut self, packet: &[u8], sample_rate: u32, most: usize) -> Result<usize> {
        values::sample_rate(sample_rate.into())?;
        (self.reach, self.gap) = (0, 0);
        PacketInfo::parse(packet)?;
        let most = most.min(sample_rate as usize * MAX_DRED_MS as usize / 1_000);
        let mut end: c_int = 0;
        // SAFETY: `model` was initialised and `content` has opus_dred_get_size bytes; `packet` is readable for its
        // length; 32 bits are written to `end`. `most` × 100 fits 32 bits.
        let answer = unsafe {
            sys::opus_dred_parse(
                self.model.get_mut(),
                self.content.get_mut(),
                packet.as_ptr(),
                length(packet.len()),
                length(most),
                sample_rate as c_int,
                &raw mut end,
                0,
            )
        };
        self.reach = check(answer, "the deep redundancy could not be read")?;
        self.gap = usize::try_from(end).unwrap_or(0).min(self.reach);
        Ok(self.reach)
    }

    /// Samples before the packet's first at which what it describes begins.
    pub fn reach(&self) -> usize {
        self.reach
    }

    /// Samples before the packet's first at which what it describes ends: it leaves out silence there.
    pub fn gap(&self) -> usize {
        self.gap
    }

    pub(super) fn content(&self) -> *const sys::OpusDRED {
        self.content.get()
    }
}

impl fmt::Debug for Dred {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dred").field("reach", &self.reach).field("gap", &self.gap).finish_non_exhaustive()
    }
}

impl Decoder {
    /// Fills `out`, a multiple of 2.5 ms, with what was lost from `before` samples (of one channel) ahead of the first
    /// one of the packet that `dred` was parsed from, at this decoder's rate. What that doesn't reach is concealed.
    /// A light decoder can't: see [`Decoder::light`].
    pub fn recover_dred_float(&mut self, dred: &Dred, before: usize, out: &mut [f32]) -> Result<()> {
        self.deep("deep redundancy")?;
        self.check_steps(out.len())?;
        let channels = usize::from(self.channels());
        let mut offset = before;
        for block in out.chunks_mut(self.longest()) {
            let frame = block.len() / channels;
            // SAFETY: the state and the content are initialised (zeroes count as having none); libopus writes frame ×
            // channels samples, which is the length of `block`, and looks only at what the content holds.
            let answer = unsafe {
                sys::opus_decoder_dred_decode_float(
                    self.state.get_mut(),
                    dred.content(),
                    bounded(offset),
                    block.as_mut_ptr(),
                    length(frame),
                )
            };
            check(answer, "the loss could not be recovered")?;
            offset = offset.saturating_sub(frame);
        }
        Ok(())
    }

    /// As [`recover_dred_float`](Self::recover_dred_float), to 16 bits.
    pub fn recover_dred(&mut self, dred: &Dred, before: usize, out: &mut [i16]) -> Result<()> {
        self.deep("deep redundancy")?;
        self.check_steps(out.len())?;
        let channels = usize::from(self.channels());
        let mut offset = before;
        for block in out.chunks_mut(self.longest()) {
            let frame = block.len() / channels;
            // SAFETY: as in `recover_dred_float`.
            let answer = unsafe {
                sys::opus_decoder_dred_decode(
                    self.state.get_mut(),
                    dred.content(),
                    bounded(offset),
                    block.as_mut_ptr(),
                    length(frame),
                )
            };
            check(answer, "the loss could not be recovered")?;
            offset = offset.saturating_sub(frame);
        }
        Ok(())
    }
}

/// No packet describes a minute, and libopus' sums stay within 32 bits.
fn bounded(offset: usize) -> c_int {
    length(offset.min(60 * 48_000))
}
