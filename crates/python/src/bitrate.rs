use antiphon_core::bitrate::{self, BitrateConfig, Observation};
use pyo3::prelude::*;

use crate::error::to_python;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<BitrateController>()
}

/// The state machine behind antiphon.media.bitrate.AdaptiveBitrateController, which documents it.
#[pyclass(module = "antiphon._native")]
pub struct BitrateController {
    inner: bitrate::BitrateController,
}

#[pymethods]
impl BitrateController {
    #[new]
    #[pyo3(signature = (*, start, minimum, maximum, increase, decrease, interval, margin, patience, utilisation,
                        most_expected_loss, expected_loss_fall))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        start: u32,
        minimum: u32,
        maximum: u32,
        increase: f64,
        decrease: f64,
        interval: f64,
        margin: f64,
        patience: f64,
        utilisation: f64,
        most_expected_loss: u8,
        expected_loss_fall: f64,
    ) -> PyResult<Self> {
        let config = BitrateConfig {
            start,
            minimum,
            maximum,
            increase,
            decrease,
            interval,
            margin,
            patience,
            utilisation,
            most_expected_loss,
            expected_loss_fall,
        };
        Ok(Self { inner: bitrate::BitrateController::new(&config).map_err(to_python)? })
    }

    /// Take what was measured; returns the condition's name, bits a second, percent of expected loss, and whether the
    /// bitrate changed.
    fn update(
        &mut self,
        now: f64,
        round_trip: f64,
        loss: f64,
        sent: Option<u32>,
    ) -> PyResult<(&'static str, u32, u8, bool)> {
        let decision = self.inner.update(now, &Observation { round_trip, loss, sent }).map_err(to_python)?;
        Ok((decision.condition.name(), decision.bitrate, decision.expected_loss, decision.changed))
    }

    /// Bits a second for the encoder.
    #[getter]
    fn bitrate(&self) -> u32 {
        self.inner.bitrate()
    }

    /// Name of the condition that is believed, None before the first update.
    #[getter]
    fn condition(&self) -> Option<&'static str> {
        self.inner.condition().map(bitrate::NetworkCondition::name)
    }

    /// Percent of loss to tell the encoder.
    #[getter]
    fn expected_loss(&self) -> u8 {
        self.inner.expected_loss()
    }
}
