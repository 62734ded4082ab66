pub mod buffers;
mod decoder;
mod encoder;

use antiphon_core::opus::{self, PacketInfo};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::to_python;
use buffers::{BytesIn, Pcm, PcmIn, Room, slice_mut, wrong_room};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<encoder::OpusEncoder>()?;
    module.add_class::<decoder::OpusDecoder>()?;
    module.add_class::<decoder::OpusDred>()?;
    module.add_class::<OpusPacketInfo>()?;
    module.add_class::<SoftClip>()?;
    module.add_function(wrap_pyfunction!(opus_packet_info, module)?)?;
    module.add_function(wrap_pyfunction!(opus_packet_samples, module)?)?;
    module.add_function(wrap_pyfunction!(opus_has_fec, module)?)?;
    module.add("OPUS_VERSION", opus::version())
}

/// What can be said of an Opus packet without decoding it (RFC 6716, section 3).
#[pyclass(module = "antiphon._native", frozen, eq)]
#[derive(Clone, PartialEq)]
pub struct OpusPacketInfo {
    info: PacketInfo,
}

#[pymethods]
impl OpusPacketInfo {
    /// How its frames are coded: ``silk``, ``hybrid`` or ``celt``.
    #[getter]
    fn mode(&self) -> &'static str {
        self.info.mode.name()
    }

    /// How high its audio goes: ``narrow`` (4 kHz), ``medium`` (6), ``wide`` (8), ``superwide`` (12) or ``full`` (20).
    #[getter]
    fn bandwidth(&self) -> &'static str {
        self.info.bandwidth.name()
    }

    /// 1 or 2.
    #[getter]
    fn channels(&self) -> u8 {
        self.info.channels
    }

    /// Frames in the packet, 1 to 48.
    #[getter]
    fn frames(&self) -> u8 {
        self.info.frames
    }

    /// Milliseconds of each frame.
    #[getter]
    fn frame_ms(&self) -> f64 {
        f64::from(self.info.frame_micros) / 1_000.0
    }

    /// Milliseconds of audio in all.
    #[getter]
    fn duration_ms(&self) -> f64 {
        f64::from(self.info.micros()) / 1_000.0
    }

    /// Whether it carries in-band FEC for what comes before it.
    #[getter]
    fn fec(&self) -> bool {
        self.info.fec
    }

    /// Bytes of padding, in which DRED travels.
    #[getter]
    fn padding(&self) -> usize {
        self.info.padding
    }

    fn __repr__(&self) -> String {
        format!(
            "OpusPacketInfo(mode={:?}, bandwidth={:?}, channels={}, frames={}, frame_ms={}, fec={}, padding={})",
            self.mode(),
            self.bandwidth(),
            self.channels(),
            self.frames(),
            self.frame_ms(),
            if self.fec() { "True" } else { "False" },
            self.padding(),
        )
    }
}

/// Read the outside of an Opus packet.
///
/// Raises:
///     BadAudio: The packet breaks a rule of RFC 6716, section 3; the message names the byte.
#[pyfunction]
fn opus_packet_info(packet: &Bound<'_, PyAny>) -> PyResult<OpusPacketInfo> {
    let packet = BytesIn::get(packet)?;
    PacketInfo::parse(packet.bytes()).map(|info| OpusPacketInfo { info }).map_err(to_python)
}

/// Samples of one channel in a packet when decoded at ``sample_rate``.
///
/// Raises:
///     BadAudio: The packet is malformed.
///     ValueError: Opus has no such sample rate.
#[pyfunction]
fn opus_packet_samples(packet: &Bound<'_, PyAny>, sample_rate: i64) -> PyResult<usize> {
    let sample_rate = opus::values::sample_rate(sample_rate).map_err(to_python)?;
    opus::packet_samples(BytesIn::get(packet)?.bytes(), sample_rate).map_err(to_python)
}

/// Whether a packet carries in-band FEC for what comes before it; False for one that is malformed.
#[pyfunction]
fn opus_has_fec(packet: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(opus::has_fec(BytesIn::get(packet)?.bytes()))
}

/// Bends samples beyond ±1 back into range instead of cutting them off, as libopus' 16-bit decoder does.
///
/// It goes through one stream, block after block.
///
/// Args:
///     channels: 1 or 2, interleaved.
#[pyclass(module = "antiphon._native")]
pub struct SoftClip {
    clip: opus::SoftClip,
}

#[pymethods]
impl SoftClip {
    #[new]
    #[pyo3(signature = (channels = 1))]
    fn new(channels: i64) -> PyResult<Self> {
        let channels = opus::values::channels(channels).map_err(to_python)?;
        Ok(Self { clip: opus::SoftClip::new(channels).map_err(to_python)? })
    }

    /// Bend the float32 samples of ``pcm`` in place. NaN becomes 0.
    fn clip(&mut self, pcm: &Bound<'_, PyAny>) -> PyResult<()> {
        match Room::get(pcm, 0..0)? {
            Room::Float(mut pcm) => self.clip.clip(slice_mut(&mut pcm)).map_err(to_python),
            _ => Err(wrong_room("float32")),
        }
    }

    /// The float32 samples of ``pcm`` as int16, bent where they are beyond ±1 and rounded to the nearest.
    fn clip_to_int16<'py>(&mut self, py: Python<'py>, pcm: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<i16>>> {
        let pcm = PcmIn::get(pcm)?;
        let Pcm::Float(pcm) = pcm.pcm()? else {
            return Err(PyValueError::new_err("the samples must be float32"));
        };
        let mut pcm = pcm.to_vec();
        new_array(py, pcm.len(), |out| self.clip.clip_to_int16(&mut pcm, out).map_err(to_python))
    }
}

/// A new array that `fill` fills.
pub fn new_array<'py, T: numpy::Element>(
    py: Python<'py>,
    length: usize,
    fill: impl FnOnce(&mut [T]) -> PyResult<()>,
) -> PyResult<Bound<'py, PyArray1<T>>> {
    let array = PyArray1::zeros(py, length, false);
    // SAFETY: the array was just made and nobody else knows of it; what `numpy` makes is contiguous.
    fill(unsafe { array.as_slice_mut() }?)?;
    Ok(array)
}

/// Runs what takes more than some 50 µs without the interpreter lock.
pub fn maybe_detached<T: Send>(py: Python<'_>, long: bool, work: impl FnOnce() -> T + Send) -> T {
    if long { py.detach(work) } else { work() }
}
