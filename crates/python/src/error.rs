use antiphon_core::Error;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pyo3::import_exception!(antiphon.errors, BadAudio);

/// The Python exception for an error of the core: `ValueError` where the caller asked for what does not exist,
/// `antiphon.errors.BadAudio` where the bytes are at fault.
pub fn to_python(error: Error) -> PyErr {
    match error {
        Error::Unsupported(_) => PyValueError::new_err(error.to_string()),
        Error::Malformed { .. } | Error::TooLarge(_) => BadAudio::new_err(error.to_string()),
    }
}
