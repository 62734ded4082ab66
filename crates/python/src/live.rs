use std::borrow::Cow;

use antiphon_core::Error;
use antiphon_core::live::{self, Carrier};
use antiphon_core::opus::packet_samples;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::to_python;

pyo3::import_exception!(antiphon.errors, UnsupportedFormat);

/// What a client sends is at fault, whatever it is.
fn refused(error: Error) -> PyErr {
    match error {
        Error::Unsupported(what) => UnsupportedFormat::new_err(what),
        _ => to_python(error),
    }
}

/// Decodes one live stream of Opus, by the packet or in a container, to mono 16-bit samples.
#[pyclass(module = "antiphon._native")]
struct LiveDecoder {
    decoder: live::LiveDecoder,
}

#[pymethods]
impl LiveDecoder {
    #[new]
    fn new(carrier: &str, sample_rate: u32) -> PyResult<Self> {
        let carrier = match carrier {
            "opus" => Carrier::Packets,
            "webm" => Carrier::Webm,
            "ogg" => Carrier::Ogg,
            _ => return Err(PyValueError::new_err(format!("carrier {carrier:?} is not one of opus, webm, ogg"))),
        };
        Ok(Self { decoder: live::LiveDecoder::new(carrier, sample_rate).map_err(to_python)? })
    }

    /// Samples of 48 kHz in a packet.
    #[staticmethod]
    fn duration(packet: Cow<'_, [u8]>) -> PyResult<u64> {
        packet_samples(&packet, 48_000).map(|samples| samples as u64).map_err(refused)
    }

    /// Take a packet, or the next bytes of the container; returns the samples of 48 kHz that this made ready.
    fn push(&mut self, data: Cow<'_, [u8]>) -> PyResult<u64> {
        self.decoder.push(&data).map_err(refused)
    }

    /// Samples of 48 kHz were lost before the packet that is pushed next.
    fn lost(&mut self, samples: u64) {
        self.decoder.lost(samples);
    }

    /// No more will come; returns the samples of 48 kHz that this made ready.
    fn finish(&mut self) -> u64 {
        self.decoder.finish()
    }

    /// Raise what was wrong with the container since this was asked last.
    fn check(&mut self) -> PyResult<()> {
        self.decoder.take_fault().map_or(Ok(()), |fault| Err(refused(fault)))
    }

    /// Decode what waits, up to about `limit` samples of 48 kHz.
    fn decode<'py>(&mut self, py: Python<'py>, limit: u64) -> Vec<(u64, Bound<'py, PyBytes>)> {
        // one packet costs less than handing the interpreter over
        let stretches = if self.decoder.waiting() > 5760 && limit > 5760 {
            py.detach(|| self.decoder.decode(limit))
        } else {
            self.decoder.decode(limit)
        };
        let bytes = |pcm: Vec<i16>| {
            PyBytes::new_with(py, 2 * pcm.len(), |out| {
                for (pair, sample) in out.chunks_exact_mut(2).zip(&pcm) {
                    pair.copy_from_slice(&sample.to_le_bytes());
                }
                Ok(())
            })
        };
        stretches.into_iter().filter_map(|stretch| Some((stretch.gap, bytes(stretch.pcm).ok()?))).collect()
    }

    #[getter]
    fn waiting(&self) -> u64 {
        self.decoder.waiting()
    }

    #[getter]
    fn concealed(&self) -> u64 {
        self.decoder.concealed()
    }

    #[getter]
    fn damaged(&self) -> u64 {
        self.decoder.damaged()
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<LiveDecoder>()
}
