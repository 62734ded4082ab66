use std::str::FromStr;

use antiphon_core::opus::{Application, Encoder, EncoderConfig, FrameSize, MAX_PACKET_BYTES, values};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::buffers::{Pcm, PcmIn, Room, slice_mut, wrong_room};
use super::maybe_detached;
use crate::error::to_python;

/// An Opus encoder (libopus).
///
/// For use by one thread at a time. While a frame is encoded, other Python threads run.
///
/// Args:
///     sample_rate: Hertz of the samples given: 8000, 12000, 16000, 24000 or 48000.
///     channels: 1 or 2.
///     application: ``voip`` (speech), ``audio`` (anything) or ``restricted_lowdelay`` (4 ms less delay, no FEC).
///     bitrate: Bits a second, 6000 to 510000.
///     complexity: 0 (fastest) to 10 (best).
///     dtx: Send next to nothing while nobody speaks.
///     fec: Let each packet carry a coarse copy of the speech of the one before, as long as ``expected_loss`` isn't 0.
///         Without effect, and then False when read, with ``restricted_lowdelay`` and with frames under 10 ms: those are
///         coded by CELT, which has none. ``dred_ms`` protects there as well.
///     expected_loss: Percent of packets reckoned to be lost, 0 to 100: decides how much FEC and DRED there is.
///     vbr: Let the size of packets follow the signal.
///     constrained_vbr: With ``vbr``, keep within the bitrate over every frame or two.
///     frame_ms: Milliseconds of audio in a packet: 2.5, 5, 10, 20, 40 or 60.
///     dred_ms: Milliseconds before its own frame that each packet describes once more (deep redundancy), 0 to 1040 in
///         steps of 10, as far as the bitrate has room for it: without ``fec`` from 24000 bit/s on, where an
///         ``expected_loss`` of 5 or more asks for it; beside ``fec`` only from 40000 and 20 % on.
///
/// Raises:
///     ValueError: A value is none of these.
#[pyclass(module = "antiphon._native")]
pub struct OpusEncoder {
    encoder: Encoder,
    packet: Vec<u8>,
}

impl OpusEncoder {
    fn from_config(config: &EncoderConfig) -> PyResult<Self> {
        let encoder = Encoder::new(config).map_err(to_python)?;
        Ok(Self { encoder, packet: vec![0; MAX_PACKET_BYTES] })
    }
}

/// Encodes one frame, whatever its samples are.
fn encode(py: Python<'_>, encoder: &mut Encoder, pcm: &PcmIn, out: &mut [u8]) -> PyResult<usize> {
    let pcm = pcm.pcm()?;
    let long = encoder.config().frame >= FrameSize::Ms10;
    maybe_detached(py, long, || match pcm {
        Pcm::Int16(pcm) => encoder.encode(&pcm, out),
        Pcm::Float(pcm) => encoder.encode_float(pcm, out),
    })
    .map_err(to_python)
}

#[pymethods]
impl OpusEncoder {
    #[new]
    #[pyo3(signature = (
        sample_rate = 48_000, channels = 1, *, application = "voip", bitrate = 128_000, complexity = 10, dtx = true,
        fec = true, expected_loss = 5, vbr = true, constrained_vbr = false, frame_ms = 20.0, dred_ms = 0,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named where this is called, in Python")]
    fn new(
        sample_rate: i64,
        channels: i64,
        application: &str,
        bitrate: i64,
        complexity: i64,
        dtx: bool,
        fec: bool,
        expected_loss: i64,
        vbr: bool,
        constrained_vbr: bool,
        frame_ms: f64,
        dred_ms: i64,
    ) -> PyResult<Self> {
        let config = || {
            Ok(EncoderConfig {
                sample_rate: values::sample_rate(sample_rate)?,
                channels: values::channels(channels)?,
                application: Application::from_str(application)?,
                bitrate: values::bitrate(bitrate)?,
                complexity: values::complexity(complexity)?,
                dtx,
                fec,
                expected_loss: values::expected_loss(expected_loss)?,
                vbr,
                constrained_vbr,
                frame: FrameSize::from_millis(frame_ms)?,
                dred_ms: values::dred_ms(dred_ms)?,
            })
        };
        Self::from_config(&config().map_err(to_python)?)
    }

    /// An encoder by the name of a preset: ``voice_high_quality``, ``voice_low_latency`` or ``voice_low_bandwidth``.
    #[staticmethod]
    fn preset(name: &str) -> PyResult<Self> {
        Self::from_config(&EncoderConfig::preset(name).map_err(to_python)?)
    }

    /// Encode one frame into a packet.
    ///
    /// Args:
    ///     pcm: ``frame_samples`` samples of each channel, interleaved: int16, float32 (−1.0 to 1.0; a frame with NaN or
    ///         infinity becomes silence), or bytes of s16le. Any shape, C-contiguous.
    ///
    /// Raises:
    ///     ValueError: It isn't one whole frame; the message lists the right numbers of samples.
    fn encode<'py>(&mut self, py: Python<'py>, pcm: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let pcm = PcmIn::get(pcm)?;
        let length = encode(py, &mut self.encoder, &pcm, &mut self.packet)?;
        Ok(PyBytes::new(py, &self.packet[..length]))
    }

    /// As :meth:`encode`, into a writable buffer of bytes; returns how many were written.
    ///
    /// The buffer's length bounds the packet's: 3832 bytes never do.
    fn encode_into(&mut self, py: Python<'_>, pcm: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<usize> {
        let pcm = PcmIn::get(pcm)?;
        match Room::get(out, pcm.place())? {
            Room::Bytes(mut out) => encode(py, &mut self.encoder, &pcm, slice_mut(&mut out)),
            _ => Err(wrong_room("unsigned bytes")),
        }
    }

    /// An encoder that goes on exactly as this one would.
    fn copy(&self) -> Self {
        Self { encoder: self.encoder.clone(), packet: vec![0; MAX_PACKET_BYTES] }
    }

    fn __copy__(&self) -> Self {
        self.copy()
    }

    /// Forget all audio; the settings stay.
    fn reset(&mut self) {
        self.encoder.reset();
    }

    /// Hertz of the samples given.
    #[getter]
    fn sample_rate(&self) -> u32 {
        self.encoder.config().sample_rate
    }

    /// 1 or 2.
    #[getter]
    fn channels(&self) -> u8 {
        self.encoder.config().channels
    }

    /// ``voip``, ``audio`` or ``restricted_lowdelay``.
    #[getter]
    fn application(&self) -> &'static str {
        self.encoder.config().application.name()
    }

    /// Whether the size of packets follows the signal.
    #[getter]
    fn vbr(&self) -> bool {
        self.encoder.config().vbr
    }

    /// Whether ``vbr`` is constrained.
    #[getter]
    fn constrained_vbr(&self) -> bool {
        self.encoder.config().constrained_vbr
    }

    /// Samples of one channel in a frame.
    #[getter]
    fn frame_samples(&self) -> usize {
        self.encoder.frame_samples()
    }

    /// Samples of one channel by which decoded audio lags behind what was given: Ogg's pre-skip (RFC 7845).
    #[getter]
    fn lookahead(&self) -> usize {
        self.encoder.lookahead()
    }

    /// Whether the last frame was left out by DTX: its packet has at most two bytes and need not be sent.
    #[getter]
    fn in_dtx(&self) -> bool {
        self.encoder.in_dtx()
    }

    /// State of the entropy coder after the last packet; the decoder of it has the same (RFC 8251).
    #[getter]
    fn final_range(&self) -> u32 {
        self.encoder.final_range()
    }

    /// Bits a second. May be set at any time, as everything that can be set.
    #[getter]
    fn bitrate(&self) -> u32 {
        self.encoder.config().bitrate
    }

    #[setter]
    fn set_bitrate(&mut self, value: i64) -> PyResult<()> {
        values::bitrate(value).and_then(|value| self.encoder.set_bitrate(value)).map_err(to_python)
    }

    /// 0 (fastest) to 10 (best).
    #[getter]
    fn complexity(&self) -> u8 {
        self.encoder.config().complexity
    }

    #[setter]
    fn set_complexity(&mut self, value: i64) -> PyResult<()> {
        values::complexity(value).and_then(|value| self.encoder.set_complexity(value)).map_err(to_python)
    }

    /// Percent of packets reckoned to be lost.
    #[getter]
    fn expected_loss(&self) -> u8 {
        self.encoder.config().expected_loss
    }

    #[setter]
    fn set_expected_loss(&mut self, value: i64) -> PyResult<()> {
        values::expected_loss(value).and_then(|value| self.encoder.set_expected_loss(value)).map_err(to_python)
    }

    /// Whether in-band FEC is in effect: asked for, and this application and frame size can carry it.
    #[getter]
    fn fec(&self) -> bool {
        self.encoder.fec()
    }

    #[setter]
    fn set_fec(&mut self, value: bool) -> PyResult<()> {
        self.encoder.set_fec(value).map_err(to_python)
    }

    /// Whether next to nothing is sent while nobody speaks.
    #[getter]
    fn dtx(&self) -> bool {
        self.encoder.config().dtx
    }

    #[setter]
    fn set_dtx(&mut self, value: bool) -> PyResult<()> {
        self.encoder.set_dtx(value).map_err(to_python)
    }

    /// Milliseconds before its own frame that each packet describes once more.
    #[getter]
    fn dred_ms(&self) -> u32 {
        self.encoder.config().dred_ms
    }

    #[setter]
    fn set_dred_ms(&mut self, value: i64) -> PyResult<()> {
        values::dred_ms(value).and_then(|value| self.encoder.set_dred_ms(value)).map_err(to_python)
    }

    /// Milliseconds of audio in a packet.
    #[getter]
    fn frame_ms(&self) -> f64 {
        self.encoder.config().frame.millis()
    }

    #[setter]
    fn set_frame_ms(&mut self, value: f64) -> PyResult<()> {
        FrameSize::from_millis(value).and_then(|value| self.encoder.set_frame(value)).map_err(to_python)
    }

    fn __repr__(&self) -> String {
        let config = self.encoder.config();
        format!(
            "OpusEncoder(sample_rate={}, channels={}, application={:?}, bitrate={}, frame_ms={})",
            config.sample_rate,
            config.channels,
            config.application.name(),
            config.bitrate,
            config.frame.millis(),
        )
    }
}
