use std::sync::{Mutex, PoisonError};

use antiphon_core::Error;
use antiphon_core::echo::{EchoCanceller as Core, EchoConfig, EchoMode, NlmsConfig};
use numpy::PyArray1;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::error::to_python;
use crate::opus::buffers::{Pcm, PcmIn, Room, slice_mut, wrong_room};
use crate::opus::new_array;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<EchoCanceller>()?;
    module.add_class::<EchoMetrics>()
}

/// What a canceller knows about the echo; None where it does not know (yet).
#[pyclass(module = "antiphon._native", frozen, get_all)]
#[derive(Debug)]
struct EchoMetrics {
    /// Echo return loss in dB: far end against its echo, over about the last second of echo without near-end speech.
    erl_db: Option<f32>,
    /// Echo return loss enhancement in dB: microphone against output, over the same time.
    erle_db: Option<f32>,
    /// From a sample's being given as far end until its echo is in the near end.
    delay_ms: Option<f32>,
    /// Whether near-end speech was over an echo in the last frame.
    double_talk: Option<bool>,
    /// Frames of the far end that were dropped because they came faster than those of the near end.
    dropped: u64,
    /// Frames of the near end for which there was none of the far end; silence was taken.
    missing: u64,
}

#[pymethods]
impl EchoMetrics {
    fn __repr__(&self) -> String {
        let decimal = |value: Option<f32>| value.map_or("None".to_owned(), |value| format!("{value:.1}"));
        let flag = self.double_talk.map_or("None", |talk| if talk { "True" } else { "False" });
        format!(
            "EchoMetrics(erl_db={}, erle_db={}, delay_ms={}, double_talk={flag}, dropped={}, missing={})",
            decimal(self.erl_db),
            decimal(self.erle_db),
            decimal(self.delay_ms),
            self.dropped,
            self.missing
        )
    }
}

/// Takes the echo of what is played (far end) out of what is recorded (near end).
///
/// `antiphon.media.echo.EchoCanceller` takes these as an `EchoConfig`. One thread may call `analyse_render` while another
/// calls `process_capture`.
#[pyclass(module = "antiphon._native", frozen, subclass)]
struct EchoCanceller {
    core: Mutex<Core>,
    #[pyo3(get)]
    sample_rate: u32,
    /// Samples in 10 ms: what is given must be a multiple.
    #[pyo3(get)]
    frame_samples: usize,
    /// By how many samples the output is behind the near end.
    #[pyo3(get)]
    latency_samples: usize,
    mode: &'static str,
}

#[pymethods]
impl EchoCanceller {
    #[new]
    #[pyo3(signature = (*, sample_rate=16_000, channels=1, mode="partitioned", delay_hint_ms=None, taps=512, step=0.1,
        leak=0.999, suppression_threshold=0.01, suppression_gain=0.1, comfort_noise=0.001))]
    #[expect(clippy::too_many_arguments, reason = "they are the fields of EchoConfig")]
    fn new(
        sample_rate: u32,
        channels: u8,
        mode: &str,
        delay_hint_ms: Option<u32>,
        taps: usize,
        step: f32,
        leak: f32,
        suppression_threshold: f32,
        suppression_gain: f32,
        comfort_noise: f32,
    ) -> PyResult<Self> {
        let nlms = NlmsConfig { taps, step, leak, suppression_threshold, suppression_gain, comfort_noise };
        let (name, mode) = match mode {
            "partitioned" => ("partitioned", EchoMode::Partitioned),
            "nlms" => ("nlms", EchoMode::Nlms(nlms)),
            _ => return Err(to_python(Error::unsupported(format!("mode {mode:?}; use partitioned or nlms")))),
        };
        let mut core = Core::new(&EchoConfig { sample_rate, channels, mode }).map_err(to_python)?;
        if let Some(delay) = delay_hint_ms {
            core.set_delay_hint(delay).map_err(to_python)?;
        }
        Ok(Self {
            sample_rate,
            frame_samples: core.frame(),
            latency_samples: core.latency(),
            core: Mutex::new(core),
            mode: name,
        })
    }

    /// Cancel the echo of far in near: two buffers of equal length, a multiple of 10 ms, both float32 of −1.0 to 1.0
    /// or both int16 (bytes count as 16-bit little-endian). Returns as much, of the same type, into out where it is
    /// given. Raises ValueError for other lengths, TypeError for other types.
    #[pyo3(signature = (far, near, out=None))]
    fn process<'py>(
        &self,
        far: &Bound<'py, PyAny>,
        near: &Bound<'py, PyAny>,
        out: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = near.py();
        let (far, near) = (PcmIn::get(far)?, PcmIn::get(near)?);
        match (far.pcm()?, near.pcm()?) {
            (Pcm::Float(far_pcm), Pcm::Float(near_pcm)) => float_out(py, near_pcm.len(), out, &[&far, &near], |out| {
                self.run(py, |core| core.process(far_pcm, near_pcm, out))
            }),
            (Pcm::Int16(far_pcm), Pcm::Int16(near_pcm)) => int_out(py, near_pcm.len(), out, &[&far, &near], |out| {
                self.run(py, |core| core.process_i16(&far_pcm, &near_pcm, out))
            }),
            _ => Err(PyTypeError::new_err("far and near must be of one type: both float32 or both int16")),
        }
    }

    /// Take in what is about to be played: a multiple of 10 ms, float32 or int16. At most a second of it waits for the
    /// near end; the oldest is dropped.
    fn analyse_render(&self, far: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = far.py();
        match PcmIn::get(far)?.pcm()? {
            Pcm::Float(far) => self.run(py, |core| core.analyse_render(far)),
            Pcm::Int16(far) => self.run(py, |core| core.analyse_render_i16(&far)),
        }
    }

    /// Cancel the echo in what was recorded: a multiple of 10 ms, float32 or int16. Returns as much, of the same type,
    /// into out where it is given.
    #[pyo3(signature = (near, out=None))]
    fn process_capture<'py>(
        &self,
        near: &Bound<'py, PyAny>,
        out: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = near.py();
        let near = PcmIn::get(near)?;
        match near.pcm()? {
            Pcm::Float(pcm) => {
                float_out(py, pcm.len(), out, &[&near], |out| self.run(py, |core| core.process_capture(pcm, out)))
            }
            Pcm::Int16(pcm) => {
                int_out(py, pcm.len(), out, &[&near], |out| self.run(py, |core| core.process_capture_i16(&pcm, out)))
            }
        }
    }

    /// Say how many milliseconds (0 to 500) pass from giving a far-end sample until its echo is in the near end.
    fn set_delay_hint(&self, milliseconds: u32) -> PyResult<()> {
        self.lock(|core| core.set_delay_hint(milliseconds))
    }

    /// What is known about the echo.
    fn metrics(&self) -> EchoMetrics {
        let known = self.core.lock().unwrap_or_else(PoisonError::into_inner).metrics();
        EchoMetrics {
            erl_db: known.erl_db,
            erle_db: known.erle_db,
            delay_ms: known.delay_ms,
            double_talk: known.double_talk,
            dropped: known.dropped,
            missing: known.missing,
        }
    }

    fn __repr__(&self) -> String {
        format!("EchoCanceller(sample_rate={}, mode='{}')", self.sample_rate, self.mode)
    }
}

impl EchoCanceller {
    fn lock<T>(&self, work: impl FnOnce(&mut Core) -> antiphon_core::Result<T>) -> PyResult<T> {
        work(&mut self.core.lock().unwrap_or_else(PoisonError::into_inner)).map_err(to_python)
    }

    /// A frame takes about 50 µs. The lock is taken and given back without the interpreter's, so that neither waits for
    /// the other.
    fn run(&self, py: Python<'_>, work: impl FnOnce(&mut Core) -> antiphon_core::Result<()> + Send) -> PyResult<()> {
        py.detach(|| work(&mut self.core.lock().unwrap_or_else(PoisonError::into_inner))).map_err(to_python)
    }
}

/// Make sure that `out` lies apart from every input.
fn room(out: &Bound<'_, PyAny>, inputs: &[&PcmIn]) -> PyResult<Room> {
    for input in &inputs[1..] {
        Room::get(out, input.place())?;
    }
    Room::get(out, inputs[0].place())
}

fn float_out<'py>(
    py: Python<'py>,
    length: usize,
    out: Option<Bound<'py, PyAny>>,
    inputs: &[&PcmIn],
    fill: impl FnOnce(&mut [f32]) -> PyResult<()>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(out) = out else {
        let array: Bound<'py, PyArray1<f32>> = new_array(py, length, fill)?;
        return Ok(array.into_any());
    };
    match room(&out, inputs)? {
        Room::Float(mut buffer) => fill(slice_mut(&mut buffer))?,
        _ => return Err(wrong_room("float32")),
    }
    Ok(out)
}

fn int_out<'py>(
    py: Python<'py>,
    length: usize,
    out: Option<Bound<'py, PyAny>>,
    inputs: &[&PcmIn],
    fill: impl FnOnce(&mut [i16]) -> PyResult<()>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(out) = out else {
        let array: Bound<'py, PyArray1<i16>> = new_array(py, length, fill)?;
        return Ok(array.into_any());
    };
    match room(&out, inputs)? {
        Room::Int16(mut buffer) => fill(slice_mut(&mut buffer))?,
        _ => return Err(wrong_room("int16")),
    }
    Ok(out)
}
