use std::str::FromStr;

use antiphon_core::{
    Error,
    mixer::{self, InputFormat},
    opus::{Application, EncoderConfig, FrameSize, values},
};
use pyo3::prelude::*;

use super::whole;
use crate::error::to_python;

/// What a listener of a :class:`Conference` is sent. Those of equal format share an encoder.
#[pyclass(module = "antiphon._native", frozen, eq)]
#[derive(Clone, PartialEq)]
pub struct OutputFormat {
    pub format: mixer::OutputFormat,
}

#[pymethods]
impl OutputFormat {
    /// Opus; the arguments are those of :class:`OpusEncoder`, with defaults that suit a conference.
    ///
    /// Args:
    ///     frame_ms: Milliseconds of audio in a packet: a tick of the room, or several.
    ///
    /// Raises:
    ///     ValueError: A value is not one of the right ones, which the message lists.
    #[staticmethod]
    #[pyo3(signature = (
        sample_rate = 48_000, channels = 1, *, application = "voip", bitrate = 32_000, complexity = 5, dtx = false,
        fec = false, expected_loss = 0, vbr = true, constrained_vbr = true, frame_ms = 20.0, dred_ms = 0,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named where this is called, in Python")]
    fn opus(
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
        Ok(Self { format: mixer::OutputFormat::Opus(config().map_err(to_python)?) })
    }

    /// G.711 by the μ-law, 8000 Hz, mono.
    #[staticmethod]
    fn mulaw() -> Self {
        Self { format: mixer::OutputFormat::Pcmu }
    }

    /// G.711 by the A-law, 8000 Hz, mono.
    #[staticmethod]
    fn alaw() -> Self {
        Self { format: mixer::OutputFormat::Pcma }
    }

    /// 16-bit little-endian samples, interleaved.
    ///
    /// Args:
    ///     sample_rate: 8000, 12000, 16000, 24000 or 48000.
    ///     channels: 1 or 2.
    #[staticmethod]
    #[pyo3(signature = (sample_rate = 16_000, channels = 1))]
    fn pcm_s16le(sample_rate: i64, channels: i64) -> PyResult<Self> {
        let format = || {
            Ok(mixer::OutputFormat::Pcm16 {
                sample_rate: whole("sample_rate", sample_rate)?,
                channels: whole("channels", channels)?,
            })
        };
        format().and_then(mixer::OutputFormat::checked_values).map(|format| Self { format }).map_err(to_python)
    }

    fn __hash__(&self) -> u64 {
        match self.format {
            mixer::OutputFormat::Opus(config) => u64::from(config.bitrate) << 8 | u64::from(config.channels),
            mixer::OutputFormat::Pcmu => 1,
            mixer::OutputFormat::Pcma => 2,
            mixer::OutputFormat::Pcm16 { sample_rate, channels } => u64::from(sample_rate) << 8 | u64::from(channels),
        }
    }

    fn __repr__(&self) -> String {
        match self.format {
            mixer::OutputFormat::Opus(config) => format!(
                "OutputFormat.opus({}, {}, application='{}', bitrate={}, complexity={}, frame_ms={})",
                config.sample_rate,
                config.channels,
                config.application.name(),
                config.bitrate,
                config.complexity,
                config.frame.millis()
            ),
            mixer::OutputFormat::Pcmu => "OutputFormat.mulaw()".into(),
            mixer::OutputFormat::Pcma => "OutputFormat.alaw()".into(),
            mixer::OutputFormat::Pcm16 { sample_rate, channels } => {
                format!("OutputFormat.pcm_s16le({sample_rate}, {channels})")
            }
        }
    }
}

/// The format of a name.
pub fn input_format(name: &str, sample_rate: i64, channels: i64) -> Result<InputFormat, Error> {
    match name {
        "opus" => Ok(InputFormat::Opus),
        "mulaw" => Ok(InputFormat::Pcmu),
        "alaw" => Ok(InputFormat::Pcma),
        "pcm_s16le" => Ok(InputFormat::Pcm16 {
            sample_rate: whole("sample_rate", sample_rate)?,
            channels: whole("channels", channels)?,
        }),
        _ => Err(Error::Unsupported(format!("codec must be one of opus, mulaw, alaw, pcm_s16le; got {name:?}"))),
    }
}
