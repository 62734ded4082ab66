//! Python bindings of `antiphon-core`: types are converted here, and nothing is decided.

mod bitrate;
mod broadcast;
mod container;
mod dsp;
mod echo;
mod error;
mod g711;
mod jitter;
mod live;
mod mixer;
mod opus;
mod rtc;
mod rtp;

use pyo3::prelude::*;

/// The native core of Antiphon; `antiphon.media` is its face.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    for register in [
        bitrate::register,
        broadcast::register,
        container::register,
        dsp::register,
        echo::register,
        g711::register,
        jitter::register,
        live::register,
        mixer::register,
        opus::register,
        rtc::register,
        rtp::register,
    ] {
        register(module)?;
    }
    // the stub says what is public
    module.delattr("__all__")
}
