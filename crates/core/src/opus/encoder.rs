use std::ffi::c_int;
use std::fmt;

use opusic_sys as sys;

use super::config::{Application, EncoderConfig, FrameSize};
use super::ffi::{DEEP, LIGHT, Library, State, check, length};
use crate::{Error, Result};

/// An Opus encoder. A clone goes on exactly as the original would: both give the same packets for the same frames.
pub struct Encoder {
    library: &'static Library,
    state: State,
    config: EncoderConfig,
}

impl Encoder {
    /// An encoder with nothing encoded yet.
    pub fn new(config: &EncoderConfig) -> Result<Self> {
        Self::of(&DEEP, config)
    }

    /// An encoder of less than a third of the size, which gives the same packets and knows nothing of deep redundancy.
    ///
    /// # Errors
    /// [`Error::Unsupported`] also where the configuration asks for that.
    pub fn light(config: &EncoderConfig) -> Result<Self> {
        Self::of(&LIGHT, config)
    }

    fn of(library: &'static Library, config: &EncoderConfig) -> Result<Self> {
        checked(library, config)?;
        // SAFETY: opus_encoder_get_size only computes.
        let state = State::new(unsafe { (library.encoder_size)(config.channels.into()) });
        let mut encoder = Self { library, state, config: *config };
        encoder.initialise()?;
        Ok(encoder)
    }

    fn initialise(&mut self) -> Result<()> {
        // SAFETY: `state` has the bytes, aligned, that opus_encoder_get_size asked for so many channels.
        let answer = unsafe {
            (self.library.encoder_init)(
                self.state.get_mut(),
                self.config.sample_rate as c_int,
                self.config.channels.into(),
                application_code(self.config.application),
            )
        };
        check(answer, "the encoder could not be made")?;
        self.apply()
    }

    fn apply(&mut self) -> Result<()> {
        let config = self.config;
        self.set(sys::OPUS_SET_BITRATE_REQUEST, config.bitrate as c_int)?;
        self.set(sys::OPUS_SET_COMPLEXITY_REQUEST, config.complexity.into())?;
        self.set(sys::OPUS_SET_DTX_REQUEST, config.dtx.into())?;
        self.set(sys::OPUS_SET_INBAND_FEC_REQUEST, config.carries_fec().into())?;
        self.set(sys::OPUS_SET_PACKET_LOSS_PERC_REQUEST, config.expected_loss.into())?;
        self.set(sys::OPUS_SET_VBR_REQUEST, config.vbr.into())?;
        self.set(sys::OPUS_SET_VBR_CONSTRAINT_REQUEST, config.constrained_vbr.into())?;
        if !self.library.deep {
            return Ok(());
        }
        // Counted in frames of 10 ms.
        self.set(sys::OPUS_SET_DRED_DURATION_REQUEST, (config.dred_ms / 10) as c_int)
    }

    /// Encodes one frame.
    ///
    /// `pcm` holds [`frame_samples`](Self::frame_samples) samples of each channel, −1.0 to 1.0; what goes beyond is
    /// kept as far as the coding can. A frame that holds NaN or infinity is encoded as silence. Returns the bytes
    /// written to `out`, which bounds the size of the packet: [`MAX_PACKET_BYTES`](super::MAX_PACKET_BYTES) never
    /// bounds it, and with much less than the bitrate asks for it sounds worse.
    pub fn encode_float(&mut self, pcm: &[f32], out: &mut [u8]) -> Result<usize> {
        self.check_lengths(pcm.len(), out.len())?;
        let frame = length(self.frame_samples());
        // SAFETY: the state was initialised by opus_encoder_init; `pcm` holds frame × channels samples, as just
        // checked; libopus writes no more than the given length of `out`.
        let answer = unsafe {
            (self.library.encode_float)(self.state.get_mut(), pcm.as_ptr(), frame, out.as_mut_ptr(), length(out.len()))
        };
        check(answer, "the frame could not be encoded")
    }

    /// As [`encode_float`](Self::encode_float), from 16-bit samples.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize> {
        self.check_lengths(pcm.len(), out.len())?;
        let frame = length(self.frame_samples());
        // SAFETY: as in `encode_float`.
        let answer = unsafe {
            (self.library.encode)(self.state.get_mut(), pcm.as_ptr(), frame, out.as_mut_ptr(), length(out.len()))
        };
        check(answer, "the frame could not be encoded")
    }

    fn check_lengths(&self, samples: usize, bytes: usize) -> Result<()> {
        let channels = usize::from(self.config.channels);
        if samples != self.frame_samples() * channels {
            let right = FrameSize::ALL
                .map(|size| format!("{} for {} ms", size.samples(self.config.sample_rate) * channels, size.millis()));
            return Err(Error::unsupported(format!(
                "a frame of {} ms at {} Hz with {channels} channel(s) has {} samples; got {samples} (right are {})",
                self.config.frame.millis(),
                self.config.sample_rate,
                self.frame_samples() * channels,
                right.join(", "),
            )));
        }
        if bytes < MIN_OUT_BYTES {
            return Err(Error::unsupported(format!(
                "the room for a packet must be at least {MIN_OUT_BYTES} bytes; got {bytes}"
            )));
        }
        Ok(())
    }

    /// What the encoder works by now.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Samples of one channel in a frame.
    pub fn frame_samples(&self) -> usize {
        self.config.frame_samples()
    }

    /// Samples of one channel by which decoded audio lags behind what was given (look-ahead, RFC 7845's pre-skip).
    pub fn lookahead(&self) -> usize {
        usize::try_from(self.get(sys::OPUS_GET_LOOKAHEAD_REQUEST)).unwrap_or(0)
    }

    /// Whether in-band FEC is in effect: asked for, and this application and frame size can carry it.
    pub fn fec(&self) -> bool {
        self.config.carries_fec()
    }

    /// Whether the last frame was left out by DTX: its packet has at most two bytes and need not be sent.
    pub fn in_dtx(&self) -> bool {
        self.get(sys::OPUS_GET_IN_DTX_REQUEST) != 0
    }

    /// State of the entropy coder after the last packet, which the decoder of that packet must have too (RFC 8251).
    pub fn final_range(&self) -> u32 {
        self.get(sys::OPUS_GET_FINAL_RANGE_REQUEST).cast_unsigned()
    }

    /// Sets bits a second.
    pub fn set_bitrate(&mut self, bitrate: u32) -> Result<()> {
        self.change(EncoderConfig { bitrate, ..self.config })
    }

    /// Sets the percentage of packets expected to be lost.
    pub fn set_expected_loss(&mut self, expected_loss: u8) -> Result<()> {
        self.change(EncoderConfig { expected_loss, ..self.config })
    }

    /// Sets the complexity.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<()> {
        self.change(EncoderConfig { complexity, ..self.config })
    }

    /// Turns in-band FEC on or off; see [`EncoderConfig::fec`] for where it has no effect.
    pub fn set_fec(&mut self, fec: bool) -> Result<()> {
        self.change(EncoderConfig { fec, ..self.config })
    }

    /// Turns DTX on or off.
    pub fn set_dtx(&mut self, dtx: bool) -> Result<()> {
        self.change(EncoderConfig { dtx, ..self.config })
    }

    /// Sets how far back DRED goes, which an encoder made by [`light`](Self::light) can't.
    pub fn set_dred_ms(&mut self, dred_ms: u32) -> Result<()> {
        self.change(EncoderConfig { dred_ms, ..self.config })
    }

    /// Sets the audio in a packet, from the next frame on.
    pub fn set_frame(&mut self, frame: FrameSize) -> Result<()> {
        self.change(EncoderConfig { frame, ..self.config })
    }

    fn change(&mut self, config: EncoderConfig) -> Result<()> {
        checked(self.library, &config)?;
        self.config = config;
        self.apply()
    }

    /// Forgets all audio; the settings stay.
    pub fn reset(&mut self) {
        // OPUS_RESET_STATE leaves traces.
        self.initialise().expect("libopus took these settings before");
    }

    fn set(&mut self, request: c_int, value: c_int) -> Result<()> {
        // SAFETY: the state was initialised, and each OPUS_SET_… request used here takes one opus_int32.
        let answer = unsafe { (self.library.encoder_ctl)(self.state.get_mut(), request, value) };
        check(answer, "libopus refused a setting").map(|_| ())
    }

    fn get(&self, request: c_int) -> i32 {
        let mut value: i32 = 0;
        // SAFETY: the state was initialised; each OPUS_GET_… request used here only reads it and writes 32 bits to
        // the address given.
        unsafe { (self.library.encoder_ctl)(self.state.get::<sys::OpusEncoder>().cast_mut(), request, &raw mut value) };
        value
    }
}

/// With less, libopus has no room for the header of a long frame.
const MIN_OUT_BYTES: usize = 4;

impl Clone for Encoder {
    fn clone(&self) -> Self {
        Self { library: self.library, state: self.state.clone(), config: self.config }
    }

    /// Allocates nothing where both are of one kind and have the same number of channels.
    fn clone_from(&mut self, source: &Self) {
        self.library = source.library;
        self.state.copy_from(&source.state);
        self.config = source.config;
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Encoder").field("config", &self.config).finish_non_exhaustive()
    }
}

fn checked(library: &Library, config: &EncoderConfig) -> Result<()> {
    config.check()?;
    if config.dred_ms > 0 && !library.deep {
        return Err(Error::unsupported("dred_ms must be 0 for a light encoder, which has no deep redundancy"));
    }
    Ok(())
}

fn application_code(application: Application) -> c_int {
    match application {
        Application::Voip => sys::OPUS_APPLICATION_VOIP,
        Application::Audio => sys::OPUS_APPLICATION_AUDIO,
        Application::RestrictedLowDelay => sys::OPUS_APPLICATION_RESTRICTED_LOWDELAY,
    }
}
