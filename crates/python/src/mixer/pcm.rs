use antiphon_core::mixer::{self, Id};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping};

use super::{Given, as_dict, readonly};
use crate::error::to_python;
use crate::opus::buffers::{Pcm, PcmIn};

/// Mixes samples: an array of each participant in, an array for each out.
///
/// Of those who speak, the loudest are mixed. Each of them hears the others (mix-minus), everybody else hears one and
/// the same mix; all leave through a look-ahead limiter, which delays them by :attr:`delay_samples`.
///
/// Args:
///     sample_rate: Hertz: 8000, 12000, 16000, 24000 or 48000.
///     channels: 1 or 2, interleaved.
///     tick_ms: Milliseconds mixed at a time: 10 or 20.
///     loudest: Most who are heard at once; None hears everybody who speaks.
///     threshold: Level in dBov from which on somebody speaks; -127 makes a speaker of everybody who sends anything.
///     hold_ms: Milliseconds for which somebody who has become quiet keeps the place, up to 60000.
///     margin: Decibels by which a challenger must be louder than the quietest who is heard.
///     tenure_ms: Milliseconds for which nobody who goes on speaking is displaced, up to 60000.
///     fade_ms: Milliseconds in which a voice comes in, goes out or changes its gain, at most a tick.
///     lookahead_ms: Milliseconds that the limiter looks ahead, at most a tick; 0 makes a clipper of it.
///     ceiling: The highest amplitude that leaves, in dBFS, -40 to 0.
///     max_participants: Most participants.
///
/// Raises:
///     ValueError: A value is none of these.
#[pyclass(module = "antiphon._native")]
pub struct Mixer {
    mixer: mixer::Mixer,
}

#[pymethods]
impl Mixer {
    #[new]
    #[pyo3(signature = (
        sample_rate = 48_000, channels = 1, *, tick_ms = 20, loudest = Some(3), threshold = -50.0, hold_ms = 400,
        margin = 6.0, tenure_ms = 300, fade_ms = 5.0, lookahead_ms = 2.5, ceiling = -1.0, max_participants = 1_000,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named where this is called, in Python")]
    fn new(
        sample_rate: i64,
        channels: i64,
        tick_ms: i64,
        loudest: Option<i64>,
        threshold: f64,
        hold_ms: i64,
        margin: f64,
        tenure_ms: i64,
        fade_ms: f64,
        lookahead_ms: f64,
        ceiling: f64,
        max_participants: i64,
    ) -> PyResult<Self> {
        let given = Given {
            sample_rate,
            channels,
            tick_ms,
            loudest,
            threshold,
            hold_ms,
            margin,
            tenure_ms,
            fade_ms,
            lookahead_ms,
            ceiling,
            probe_ticks: 1,
            max_participants,
        };
        let mixer = given.config().and_then(mixer::Mixer::new).map_err(to_python)?;
        Ok(Self { mixer })
    }

    /// Take somebody in, by any number from 0 to 2**64 - 1.
    ///
    /// Raises:
    ///     ValueError: The number is taken.
    ///     BadAudio: The room is full.
    fn add(&mut self, participant: Id) -> PyResult<()> {
        self.mixer.add(participant).map_err(to_python)
    }

    /// Let somebody go; whether there was anybody of that number.
    fn remove(&mut self, participant: Id) -> bool {
        self.mixer.remove(participant)
    }

    /// Make somebody louder or quieter for all others: a factor from 0 to 10. The change is faded.
    fn set_gain(&mut self, participant: Id, gain: f64) -> PyResult<()> {
        self.mixer.set_gain(participant, gain as f32).map_err(to_python)
    }

    /// Keep somebody from being heard, or end that. Who is muted goes on hearing.
    fn set_muted(&mut self, participant: Id, muted: bool) -> PyResult<()> {
        self.mixer.set_muted(participant, muted).map_err(to_python)
    }

    /// Mix one tick.
    ///
    /// Args:
    ///     inputs: For each participant who sent something, ``tick_samples`` samples of each channel, interleaved:
    ///         float32 (-1.0 to 1.0; what is not finite is silence), int16, or bytes of s16le.
    ///
    /// Returns:
    ///     What each participant hears: float32, of the same length, read-only. All who hear the shared mix are given
    ///     one and the same array.
    ///
    /// Raises:
    ///     ValueError: A participant is not in the room, or an array is of another length; nothing has then changed.
    fn tick<'py>(&mut self, py: Python<'py>, inputs: &Bound<'py, PyMapping>) -> PyResult<Bound<'py, PyDict>> {
        let inputs = as_dict(inputs)?;
        let mut held = Vec::with_capacity(inputs.len());
        for (id, pcm) in inputs {
            held.push((id.extract::<Id>()?, PcmIn::get(&pcm)?));
        }
        let samples = held.iter().map(|(id, pcm)| Ok((*id, pcm.pcm()?))).collect::<PyResult<Vec<_>>>()?;
        let floats: Vec<_> = samples.iter().map(|(_, pcm)| as_float(pcm)).collect();
        let inputs: Vec<_> = samples
            .iter()
            .zip(&floats)
            .map(|((id, pcm), float)| match pcm {
                Pcm::Float(pcm) => (*id, *pcm),
                Pcm::Int16(_) => (*id, float.as_slice()),
            })
            .collect();
        let mixer = &mut self.mixer;
        py.detach(|| mixer.tick(&inputs)).map_err(to_python)?;
        let out = PyDict::new(py);
        let shared = readonly(py, self.mixer.shared());
        for (id, own) in self.mixer.mixes() {
            match own {
                Some(pcm) => out.set_item(id, readonly(py, pcm))?,
                None => out.set_item(id, &shared)?,
            }
        }
        Ok(out)
    }

    /// What everybody hears who is not heard, float32: a recorder's view of the room.
    #[getter]
    fn shared<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        readonly(py, self.mixer.shared())
    }

    /// Who was heard in the last tick, with the levels in dBov, the loudest first.
    #[getter]
    fn active<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.mixer.active())
    }

    /// Samples of one channel in a tick.
    #[getter]
    fn tick_samples(&self) -> usize {
        self.mixer.config().tick_samples()
    }

    /// Samples of one channel by which what is heard is late.
    #[getter]
    fn delay_samples(&self) -> usize {
        self.mixer.delay()
    }

    fn __len__(&self) -> usize {
        self.mixer.len()
    }

    fn __contains__(&self, participant: Id) -> bool {
        self.mixer.contains(participant)
    }

    fn __repr__(&self) -> String {
        let config = self.mixer.config();
        format!(
            "Mixer(sample_rate={}, channels={}, participants={})",
            config.sample_rate,
            config.channels,
            self.mixer.len()
        )
    }
}

/// 16-bit samples as floats; nothing where they are floats already.
pub fn as_float(pcm: &Pcm<'_>) -> Vec<f32> {
    match pcm {
        Pcm::Int16(pcm) => pcm.iter().map(|x| f32::from(*x) / 32_768.0).collect(),
        Pcm::Float(_) => Vec::new(),
    }
}
