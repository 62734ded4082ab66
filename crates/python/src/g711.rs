use antiphon_core::g711::Law;
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::to_python;
use crate::opus::buffers::{BytesIn, Pcm, PcmIn};
use crate::opus::new_array;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(mulaw_encode, module)?)?;
    module.add_function(wrap_pyfunction!(mulaw_decode, module)?)?;
    module.add_function(wrap_pyfunction!(mulaw_decode_float, module)?)?;
    module.add_function(wrap_pyfunction!(alaw_encode, module)?)?;
    module.add_function(wrap_pyfunction!(alaw_decode, module)?)?;
    module.add_function(wrap_pyfunction!(alaw_decode_float, module)?)
}

fn encode<'py>(law: Law, pcm: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = pcm.py();
    let pcm = PcmIn::get(pcm)?;
    match pcm.pcm()? {
        Pcm::Int16(pcm) => PyBytes::new_with(py, pcm.len(), |out| law.encode(&pcm, out).map_err(to_python)),
        Pcm::Float(pcm) => PyBytes::new_with(py, pcm.len(), |out| law.encode_float(pcm, out).map_err(to_python)),
    }
}

fn decode<'py>(law: Law, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<i16>>> {
    let bytes = BytesIn::get(data)?;
    new_array(data.py(), bytes.bytes().len(), |out| law.decode(bytes.bytes(), out).map_err(to_python))
}

fn decode_float<'py>(law: Law, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let bytes = BytesIn::get(data)?;
    new_array(data.py(), bytes.bytes().len(), |out| law.decode_float(bytes.bytes(), out).map_err(to_python))
}

/// Samples (int16, float32 of −1.0 to 1.0, or bytes of s16le; C-contiguous) as μ-law, a byte each (ITU-T G.711).
#[pyfunction]
fn mulaw_encode<'py>(pcm: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    encode(Law::Mu, pcm)
}

/// μ-law bytes as int16 samples (ITU-T G.711).
#[pyfunction]
fn mulaw_decode<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<i16>>> {
    decode(Law::Mu, data)
}

/// μ-law bytes as float32 samples of −1.0 to 1.0.
#[pyfunction]
fn mulaw_decode_float<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<f32>>> {
    decode_float(Law::Mu, data)
}

/// Samples (int16, float32 of −1.0 to 1.0, or bytes of s16le; C-contiguous) as A-law, a byte each (ITU-T G.711).
#[pyfunction]
fn alaw_encode<'py>(pcm: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    encode(Law::A, pcm)
}

/// A-law bytes as int16 samples (ITU-T G.711).
#[pyfunction]
fn alaw_decode<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<i16>>> {
    decode(Law::A, data)
}

/// A-law bytes as float32 samples of −1.0 to 1.0.
#[pyfunction]
fn alaw_decode_float<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<f32>>> {
    decode_float(Law::A, data)
}
