use std::borrow::Cow;
use std::sync::Mutex;

use antiphon_core::level::{self, Measure, MeterConfig};
use antiphon_core::vad::{FRAME_SAMPLES, VadConfig};
use antiphon_core::{Error, resample, vad};
use numpy::{Element, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::to_python;

/// Samples from which a call lets go of the interpreter lock; fewer take less than the handing over is worth.
const LONG: usize = 8_192;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Resampler>()?;
    module.add_class::<PcmConverter>()?;
    module.add_class::<Level>()?;
    module.add_class::<LevelMeter>()?;
    module.add_class::<VoiceActivity>()?;
    module.add_class::<VoiceActivityDetector>()?;
    module.add_function(wrap_pyfunction!(measure_level, module)?)?;
    module.add_function(wrap_pyfunction!(audio_level, module)?)?;
    module.add_function(wrap_pyfunction!(audio_level_dbfs, module)?)?;
    Ok(())
}

/// Probabilities and flags.
type Frames<'py> = (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<bool>>);

/// A numpy array of samples.
enum Samples<'py> {
    Float(PyReadonlyArrayDyn<'py, f32>),
    Int(PyReadonlyArrayDyn<'py, i16>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Samples<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = object.cast::<PyArrayDyn<f32>>() {
            return Ok(Self::Float(array.try_readonly()?));
        }
        if let Ok(array) = object.cast::<PyArrayDyn<i16>>() {
            return Ok(Self::Int(array.try_readonly()?));
        }
        Err(PyTypeError::new_err("samples must be a numpy array of float32 or int16"))
    }
}

fn slice<'a, T: Element>(array: &'a PyReadonlyArrayDyn<'_, T>) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|_| PyValueError::new_err("samples must be contiguous, with the last axis fastest"))
}

/// `bytes` as they are; other objects with a buffer of bytes are copied, for somebody else may write to them meanwhile.
fn bytes<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
    match object.cast::<PyBytes>() {
        Ok(bytes) => Ok(Cow::Borrowed(bytes.as_bytes())),
        Err(_) => Ok(Cow::Owned(PyBuffer::<u8>::get(object)?.to_vec(object.py())?)),
    }
}

fn run<T: Send>(py: Python<'_>, size: usize, work: impl FnOnce() -> T + Send) -> T {
    if size > LONG { py.detach(work) } else { work() }
}

/// The core's stream, which may move between threads but not be shared by them: only `&mut self` reaches it.
struct Owned<T>(Mutex<T>);

impl<T> Owned<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn get(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A stream at one sample rate in, at another out.
///
/// The first sample out stands for the first one in; a whole stream, flushed, is ``frames * to_rate / from_rate`` long,
/// rounded. The result does not depend on how the input is cut. The low-pass filter has linear phase, is flat to 92 % of
/// the lower Nyquist frequency and 104 dB down from there on.
///
/// Args:
///     from_rate: Hz, 1000 to 768000.
///     to_rate: Hz, the same.
///     channels: 1 to 32, interleaved.
///
/// Raises:
///     ValueError: A rate or a number of channels that is not taken.
#[pyclass(module = "antiphon._native")]
pub struct Resampler {
    inner: Owned<resample::Resampler>,
    #[pyo3(get)]
    from_rate: u32,
    #[pyo3(get)]
    to_rate: u32,
    #[pyo3(get)]
    channels: usize,
    /// The most samples, per channel and at ``to_rate``, by which the output may lag behind the input.
    #[pyo3(get)]
    latency_samples: usize,
    floats: Vec<f32>,
    ints: Vec<i16>,
}

#[pymethods]
impl Resampler {
    #[new]
    #[pyo3(signature = (from_rate, to_rate, channels=1))]
    fn new(from_rate: u32, to_rate: u32, channels: u8) -> PyResult<Self> {
        let inner = resample::Resampler::new(from_rate, to_rate, channels).map_err(to_python)?;
        Ok(Self {
            from_rate,
            to_rate,
            channels: inner.channels(),
            latency_samples: inner.latency_samples(),
            inner: Owned::new(inner),
            floats: Vec::new(),
            ints: Vec::new(),
        })
    }

    /// Convert the next samples: float32 in -1.0 to 1.0, or int16; the result has the same type and number of dimensions.
    ///
    /// Args:
    ///     samples: Shape (samples,), interleaved, or (frames, channels); contiguous.
    ///
    /// Raises:
    ///     BadAudio: The samples end within a frame.
    ///     ValueError: Another shape, or not contiguous.
    fn push<'py>(&mut self, py: Python<'py>, samples: Samples<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (inner, channels) = (self.inner.get(), self.channels);
        match samples {
            Samples::Float(array) => {
                let (samples, out) = (whole(&array, channels)?, &mut self.floats);
                out.clear();
                run(py, samples.len(), || inner.push(samples, out)).map_err(to_python)?;
                shaped(py, out, array.ndim(), channels)
            }
            Samples::Int(array) => {
                let (samples, out) = (whole(&array, channels)?, &mut self.ints);
                out.clear();
                run(py, samples.len(), || inner.push_i16(samples, out)).map_err(to_python)?;
                shaped(py, out, array.ndim(), channels)
            }
        }
    }

    /// End a stream of float32: what the filter still holds, interleaved. The next push begins a new stream.
    fn flush<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        self.floats.clear();
        self.inner.get().flush(&mut self.floats);
        PyArray1::from_slice(py, &self.floats)
    }

    /// End a stream of int16, as flush does.
    fn flush_int16<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyArray1<i16>> {
        self.ints.clear();
        self.inner.get().flush_i16(&mut self.ints);
        PyArray1::from_slice(py, &self.ints)
    }

    /// Forget the stream without asking for its end.
    fn reset(&mut self) {
        self.inner.get().reset();
    }

    fn __repr__(&self) -> String {
        format!("Resampler(from_rate={}, to_rate={}, channels={})", self.from_rate, self.to_rate, self.channels)
    }
}

/// The samples in their order in memory: interleaved, or a row for each frame.
fn whole<'a, T: Element>(array: &'a PyReadonlyArrayDyn<'_, T>, channels: usize) -> PyResult<&'a [T]> {
    match *array.shape() {
        [_] => slice(array),
        [_, width] if width == channels => slice(array),
        _ => Err(PyValueError::new_err(format!(
            "samples must have the shape (samples,), interleaved, or (frames, {channels}), not {:?}",
            array.shape()
        ))),
    }
}

fn shaped<'py, T: Element + Copy>(
    py: Python<'py>,
    out: &[T],
    dimensions: usize,
    channels: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let flat = PyArray1::from_slice(py, out);
    Ok(if dimensions == 2 { flat.reshape([out.len() / channels, channels])?.into_any() } else { flat.into_any() })
}

/// Interleaved s16le at any rate in, mono s16le at another out; channels are averaged.
///
/// Args:
///     from_rate: Hz, 1000 to 768000.
///     channels: 1 to 32.
///     to_rate: Hz, 1000 to 768000.
///
/// Raises:
///     ValueError: A rate or a number of channels that is not taken.
#[pyclass(module = "antiphon._native")]
pub struct PcmConverter {
    inner: Owned<resample::PcmConverter>,
    #[pyo3(get)]
    latency_samples: usize,
    out: Vec<u8>,
}

#[pymethods]
impl PcmConverter {
    #[new]
    fn new(from_rate: u32, channels: u8, to_rate: u32) -> PyResult<Self> {
        let inner = resample::PcmConverter::new(from_rate, channels, to_rate).map_err(to_python)?;
        Ok(Self { latency_samples: inner.latency_samples(), inner: Owned::new(inner), out: Vec::new() })
    }

    /// Convert the next bytes, whole sample frames.
    ///
    /// Raises:
    ///     BadAudio: They end within a sample frame; nothing was taken.
    fn convert<'py>(&mut self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let (data, inner, out) = (bytes(data)?, self.inner.get(), &mut self.out);
        out.clear();
        run(py, data.len() / 2, || inner.push(&data, out)).map_err(to_python)?;
        Ok(PyBytes::new(py, out))
    }

    /// End the stream: what the filter still holds. The next bytes begin a new one.
    fn flush<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.out.clear();
        self.inner.get().flush(&mut self.out);
        PyBytes::new(py, &self.out)
    }
}

/// What a run of samples measures.
///
/// Levels are in dBFS with a full-scale square wave at 0 and a full-scale sine at -3.01, which is dBov in ITU-T G.100.1;
/// AES17 puts the sine at 0. Silence is -inf.
#[pyclass(module = "antiphon._native", frozen, get_all)]
pub struct Level {
    rms_dbfs: f64,
    peak_dbfs: f64,
    clipped: u64,
    samples: u64,
}

#[pymethods]
impl Level {
    /// The RMS as a level of RFC 6464: 0 (loudest) to 127 (silence), in -dBov.
    #[getter]
    fn audio_level(&self) -> u8 {
        level::audio_level(self.rms_dbfs)
    }

    fn __repr__(&self) -> String {
        format!(
            "Level(rms_dbfs={:.2}, peak_dbfs={:.2}, clipped={}, samples={})",
            self.rms_dbfs, self.peak_dbfs, self.clipped, self.samples
        )
    }
}

impl From<Measure> for Level {
    fn from(measure: Measure) -> Self {
        Self {
            rms_dbfs: measure.rms_dbfs(),
            peak_dbfs: measure.peak_dbfs(),
            clipped: measure.clipped,
            samples: measure.samples,
        }
    }
}

/// Measure samples at once.
///
/// Args:
///     samples: float32 in -1.0 to 1.0 or int16, of any contiguous shape, or bytes of s16le.
///
/// Raises:
///     BadAudio: An odd number of bytes.
#[pyfunction]
fn measure_level(py: Python<'_>, samples: &Bound<'_, PyAny>) -> PyResult<Level> {
    if let Ok(pcm) = samples.cast::<PyBytes>() {
        let pcm = pcm.as_bytes();
        return Ok(run(py, pcm.len() / 2, || Measure::of_s16le(pcm)).map_err(to_python)?.into());
    }
    Ok(match samples.extract::<Samples<'_>>()? {
        Samples::Float(array) => {
            let samples = slice(&array)?;
            run(py, samples.len(), || Measure::of(samples)).into()
        }
        Samples::Int(array) => {
            let samples = slice(&array)?;
            run(py, samples.len(), || Measure::of_i16(samples)).into()
        }
    })
}

/// The level that RFC 6464 puts into a header, 0 (loudest) to 127 (silence), for an RMS in dBFS.
#[pyfunction]
fn audio_level(rms_dbfs: f64) -> u8 {
    level::audio_level(rms_dbfs)
}

/// The RMS in dBFS of a level of RFC 6464.
///
/// Raises:
///     ValueError: Above 127.
#[pyfunction]
fn audio_level_dbfs(level: u8) -> PyResult<f64> {
    level::audio_level_dbfs(level).map_err(to_python)
}

/// Follows the level of one channel, in pieces of any size; the scale is that of Level.
///
/// Args:
///     sample_rate: Hz, 1000 to 768000.
///     attack: Seconds in which a step upwards comes to 63 % of its power.
///     release: Seconds in which a step downwards has fallen to 37 % of its power.
///     peak_fall: dB a second by which the held peak falls.
///
/// Raises:
///     ValueError: A rate, time or fall that makes no sense.
#[pyclass(module = "antiphon._native")]
pub struct LevelMeter {
    inner: level::LevelMeter,
}

#[pymethods]
impl LevelMeter {
    #[new]
    #[pyo3(signature = (sample_rate=16_000, *, attack=0.01, release=0.3, peak_fall=11.76))]
    fn new(sample_rate: u32, attack: f64, release: f64, peak_fall: f64) -> PyResult<Self> {
        let config = MeterConfig { sample_rate, attack, release, peak_fall };
        Ok(Self { inner: level::LevelMeter::new(&config).map_err(to_python)? })
    }

    /// Take the next samples, shape (samples,), float32 or int16; returns what they measure alone.
    fn push(&mut self, py: Python<'_>, samples: Samples<'_>) -> PyResult<Level> {
        let inner = &mut self.inner;
        Ok(match samples {
            Samples::Float(array) => {
                let samples = channel(&array)?;
                run(py, samples.len(), || inner.push(samples)).into()
            }
            Samples::Int(array) => {
                let samples = channel(&array)?;
                run(py, samples.len(), || inner.push_i16(samples)).into()
            }
        })
    }

    /// The smoothed RMS in dBFS, renewed every 10 ms of audio.
    #[getter]
    fn rms_dbfs(&self) -> f64 {
        self.inner.rms_dbfs()
    }

    /// The held peak in dBFS.
    #[getter]
    fn peak_dbfs(&self) -> f64 {
        self.inner.peak_dbfs()
    }

    /// The smoothed RMS as a level of RFC 6464.
    #[getter]
    fn audio_level(&self) -> u8 {
        self.inner.audio_level()
    }

    /// Samples at full scale since the start.
    #[getter]
    fn clipped(&self) -> u64 {
        self.inner.clipped()
    }

    /// Back to silence, and the count of clipped samples to zero.
    fn reset(&mut self) {
        self.inner.reset();
    }

    fn __repr__(&self) -> String {
        format!("<LevelMeter at {:.1} dBFS, peak {:.1} dBFS>", self.inner.rms_dbfs(), self.inner.peak_dbfs())
    }
}

fn channel<'a, T: Element>(array: &'a PyReadonlyArrayDyn<'_, T>) -> PyResult<&'a [T]> {
    if array.ndim() != 1 {
        return Err(to_python(Error::unsupported(format!(
            "samples must be one channel, of the shape (samples,), not {:?}",
            array.shape()
        ))));
    }
    slice(array)
}

/// What a detector says of the last whole frame: a probability of 0 to 1, and whether somebody is speaking.
#[pyclass(module = "antiphon._native", frozen, get_all)]
pub struct VoiceActivity {
    probability: f32,
    active: bool,
}

#[pymethods]
impl VoiceActivity {
    fn __repr__(&self) -> String {
        let active = if self.active { "True" } else { "False" };
        format!("VoiceActivity(probability={:.3}, active={active})", self.probability)
    }
}

impl From<vad::VoiceActivity> for VoiceActivity {
    fn from(activity: vad::VoiceActivity) -> Self {
        Self { probability: activity.probability, active: activity.active }
    }
}

/// Detects speech in one channel, in pieces of any size, frame by frame of FRAME_SECONDS.
///
/// Args:
///     sample_rate: Hz, 1000 to 768000.
///     threshold: Probability from which a frame counts as speech while there is silence.
///     release_threshold: Probability from which it still does while there is speech; at most threshold.
///     onset: Seconds of speech without a pause before active becomes true.
///     hangover: Seconds of silence before it becomes false.
///
/// Raises:
///     ValueError: Thresholds outside of 0 to 1 or the wrong way round, times outside of 0 to 60, a rate not taken.
#[pyclass(module = "antiphon._native")]
pub struct VoiceActivityDetector {
    inner: Owned<vad::VoiceActivityDetector>,
    #[pyo3(get)]
    sample_rate: u32,
}

impl VoiceActivityDetector {
    fn hear(
        &mut self,
        py: Python<'_>,
        samples: &Samples<'_>,
        each: impl FnMut(vad::VoiceActivity) + Send,
    ) -> PyResult<vad::VoiceActivity> {
        let inner = self.inner.get();
        Ok(match samples {
            Samples::Float(array) => {
                let samples = channel(array)?;
                run(py, samples.len(), || inner.push(samples, each))
            }
            Samples::Int(array) => {
                let samples = channel(array)?;
                run(py, samples.len(), || inner.push_i16(samples, each))
            }
        })
    }
}

#[pymethods]
impl VoiceActivityDetector {
    #[new]
    #[pyo3(signature = (sample_rate=16_000, *, threshold=0.6, release_threshold=0.55, onset=0.048, hangover=0.3))]
    fn new(sample_rate: u32, threshold: f32, release_threshold: f32, onset: f64, hangover: f64) -> PyResult<Self> {
        let config = VadConfig { sample_rate, threshold, release_threshold, onset, hangover };
        let inner = vad::VoiceActivityDetector::new(&config).map_err(to_python)?;
        Ok(Self { inner: Owned::new(inner), sample_rate })
    }

    /// Hear the next samples, shape (samples,), float32 in -1.0 to 1.0 or int16; returns the state after the last whole frame.
    fn push(&mut self, py: Python<'_>, samples: Samples<'_>) -> PyResult<VoiceActivity> {
        Ok(self.hear(py, &samples, |_| {})?.into())
    }

    /// Hear the next samples; returns the probability (float32) and the flag (bool) of every frame that they complete.
    fn frames<'py>(&mut self, py: Python<'py>, samples: Samples<'py>) -> PyResult<Frames<'py>> {
        let (mut probabilities, mut flags) = (Vec::new(), Vec::new());
        self.hear(py, &samples, |activity| {
            probabilities.push(activity.probability);
            flags.push(activity.active);
        })?;
        Ok((PyArray1::from_vec(py, probabilities), PyArray1::from_vec(py, flags)))
    }

    /// Whether somebody is speaking.
    #[getter]
    fn active(&mut self) -> bool {
        self.inner.get().activity().active
    }

    /// Seconds of audio for each probability.
    #[classattr]
    const FRAME_SECONDS: f64 = FRAME_SAMPLES as f64 / vad::DETECTOR_RATE as f64;

    /// Back to the start of a stream.
    fn reset(&mut self) {
        self.inner.get().reset();
    }
}
