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

#[pyclass(module = "antiphon._native")]
pub struct Resampler {
    inner: Owned<resample::Resampler>,
    #[pyo3(get)]
    from_rate: u32,
    #[pyo3(get)]
    to_rate: u32,
    #[pyo3(get)]
    channels: usize,
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

    fn flush<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        self.floats.clear();
        self.inner.get().flush(&mut self.floats);
        PyArray1::from_slice(py, &self.floats)
    }

    fn flush_int16<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyArray1<i16>> {
        self.ints.clear();
        self.inner.get().flush_i16(&mut self.ints);
        PyArray1::from_slice(py, &self.ints)
    }

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

    fn convert<'py>(&mut self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let (data, inner, out) = (bytes(data)?, self.inner.get(), &mut self.out);
        out.clear();
        run(py, data.len() / 2, || inner.push(&data, out)).map_err(to_python)?;
        Ok(PyBytes::new(py, out))
    }

    fn flush<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.out.clear();
        self.inner.get().flush(&mut self.out);
        PyBytes::new(py, &self.out)
    }
}

#[pyclass(module = "antiphon._native", frozen, get_all)]
pub struct Level {
    rms_dbfs: f64,
    peak_dbfs: f64,
    clipped: u64,
    samples: u64,
}

#[pymethods]
impl Level {
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

#[pyfunction]
fn audio_level(rms_dbfs: f64) -> u8 {
    level::audio_level(rms_dbfs)
}

#[pyfunction]
fn audio_level_dbfs(level: u8) -> PyResult<f64> {
    level::audio_level_dbfs(level).map_err(to_python)
}

#[pyclass(module = "antiphon._native")]
pub struct LevelMeter {
    inner: level::LevelMeter,
}

#[pymethods]
impl LevelMeter {
    #[new]
    #[pyo3(signature = (sample_rate=16_000, *, attack=0.01, release=0.3, peak_fall=20.0 / 1.7))]
    fn new(sample_rate: u32, attack: f64, release: f64, peak_fall: f64) -> PyResult<Self> {
        let config = MeterConfig { sample_rate, attack, release, peak_fall };
        Ok(Self { inner: level::LevelMeter::new(&config).map_err(to_python)? })
    }

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

    #[getter]
    fn rms_dbfs(&self) -> f64 {
        self.inner.rms_dbfs()
    }

    #[getter]
    fn peak_dbfs(&self) -> f64 {
        self.inner.peak_dbfs()
    }

    #[getter]
    fn audio_level(&self) -> u8 {
        self.inner.audio_level()
    }

    #[getter]
    fn clipped(&self) -> u64 {
        self.inner.clipped()
    }

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
    #[pyo3(signature = (sample_rate=16_000, *, threshold=0.5, release_threshold=0.35, onset=0.048, hangover=0.3))]
    fn new(sample_rate: u32, threshold: f32, release_threshold: f32, onset: f64, hangover: f64) -> PyResult<Self> {
        let config = VadConfig { sample_rate, threshold, release_threshold, onset, hangover };
        let inner = vad::VoiceActivityDetector::new(&config).map_err(to_python)?;
        Ok(Self { inner: Owned::new(inner), sample_rate })
    }

    fn push(&mut self, py: Python<'_>, samples: Samples<'_>) -> PyResult<VoiceActivity> {
        Ok(self.hear(py, &samples, |_| {})?.into())
    }

    fn frames<'py>(
        &mut self,
        py: Python<'py>,
        samples: Samples<'py>,
    ) -> PyResult<(Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<bool>>)> {
        let (mut probabilities, mut flags) = (Vec::new(), Vec::new());
        self.hear(py, &samples, |activity| {
            probabilities.push(activity.probability);
            flags.push(activity.active);
        })?;
        Ok((PyArray1::from_vec(py, probabilities), PyArray1::from_vec(py, flags)))
    }

    #[getter]
    fn active(&mut self) -> bool {
        self.inner.get().activity().active
    }

    #[classattr]
    const FRAME_SECONDS: f64 = FRAME_SAMPLES as f64 / vad::DETECTOR_RATE as f64;

    fn reset(&mut self) {
        self.inner.get().reset();
    }
}
