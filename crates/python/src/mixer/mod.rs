mod conference;
mod format;
mod pcm;

use antiphon_core::{
    Error,
    mixer::{Id, RoomConfig},
};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<pcm::Mixer>()?;
    module.add_class::<conference::Conference>()?;
    module.add_class::<conference::ConferenceCounters>()?;
    module.add_class::<conference::LostPacket>()?;
    module.add_class::<format::OutputFormat>()
}

/// What both kinds of room are configured by, as Python gives it.
struct Given {
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
    probe_ticks: i64,
    max_participants: i64,
}

impl Given {
    fn config(&self) -> Result<RoomConfig, Error> {
        Ok(RoomConfig {
            sample_rate: whole("sample_rate", self.sample_rate)?,
            channels: whole("channels", self.channels)?,
            tick_ms: whole("tick_ms", self.tick_ms)?,
            loudest: self.loudest.map(|loudest| whole("loudest", loudest)).transpose()?,
            threshold: self.threshold as f32,
            hold_ms: whole("hold_ms", self.hold_ms)?,
            margin: self.margin as f32,
            tenure_ms: whole("tenure_ms", self.tenure_ms)?,
            fade_ms: self.fade_ms as f32,
            lookahead_ms: self.lookahead_ms as f32,
            ceiling: self.ceiling as f32,
            probe_ticks: whole("probe_ticks", self.probe_ticks)?,
            max_participants: whole("max_participants", self.max_participants)?,
        })
    }
}

/// A number that may be as large as the core's type for it; what the right ones are, the core says.
fn whole<T: TryFrom<i64>>(name: &str, value: i64) -> Result<T, Error> {
    T::try_from(value).map_err(|_| Error::Unsupported(format!("{name} {value}: out of range")))
}

/// An array of its own, which nobody can write to: it may stand for several listeners.
fn readonly<'py>(py: Python<'py>, pcm: &[f32]) -> Bound<'py, PyArray1<f32>> {
    let array = PyArray1::from_slice(py, pcm);
    array.readwrite().make_nonwriteable();
    array
}

fn not_here(id: Id) -> PyErr {
    crate::error::to_python(Error::Unsupported(format!("participant {id} is not in the room")))
}

/// Any mapping as a dictionary, which it mostly is.
fn as_dict<'py>(inputs: &Bound<'py, PyMapping>) -> PyResult<Bound<'py, PyDict>> {
    match inputs.cast::<PyDict>() {
        Ok(dict) => Ok(dict.clone()),
        Err(_) => {
            let dict = PyDict::new(inputs.py());
            dict.update(inputs)?;
            Ok(dict)
        }
    }
}
