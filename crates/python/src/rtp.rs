use std::borrow::Cow;

use antiphon_core::rtp::{self, Intake, IntakeLimits, Taken};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

pyo3::import_exception!(antiphon.errors, BadMessage);

/// A parsed packet (RFC 3550 section 5.1).
#[pyclass(frozen, get_all, module = "antiphon._native")]
struct RtpPacket {
    sequence_number: u16,
    timestamp: u32,
    ssrc: u32,
    marker: bool,
    payload_type: u8,
    payload: Py<PyBytes>,
}

/// Parse one packet.
#[pyfunction]
fn parse_rtp(py: Python<'_>, data: Cow<'_, [u8]>) -> PyResult<RtpPacket> {
    let packet = rtp::parse(&data).map_err(|error| BadMessage::new_err(error.to_string()))?;
    Ok(RtpPacket {
        sequence_number: packet.sequence_number,
        timestamp: packet.timestamp,
        ssrc: packet.ssrc,
        marker: packet.marker,
        payload_type: packet.payload_type,
        payload: PyBytes::new(py, packet.payload).unbind(),
    })
}

/// The next payload in order.
#[pyclass(frozen, get_all, module = "antiphon._native")]
struct Ready {
    payload: Py<PyBytes>,
    gap: u32,
}

/// The way in of one live stream.
#[pyclass(module = "antiphon._native")]
struct AudioIntake {
    intake: Intake,
    ready: Vec<rtp::Ready>,
}

impl AudioIntake {
    fn taken<'py>(&mut self, py: Python<'py>, taken: Taken) -> Option<Bound<'py, PyBytes>> {
        match taken {
            Taken::Unusual => None,
            Taken::Waiting => Some(PyBytes::new(py, b"")),
            Taken::Full => Some(self.take_block(py)),
        }
    }

    fn released(&mut self, py: Python<'_>) -> Vec<Ready> {
        let give = |ready: rtp::Ready| Ready { payload: PyBytes::new(py, &ready.payload).unbind(), gap: ready.gap };
        self.ready.drain(..).map(give).collect()
    }
}

#[pymethods]
impl AudioIntake {
    #[new]
    #[pyo3(signature = (sample_rate, frame_bytes=2, *, block_bytes=0, max_samples=u64::MAX, max_rate=f64::INFINITY, burst=f64::INFINITY, now=0.0))]
    fn new(
        sample_rate: u32,
        frame_bytes: u32,
        block_bytes: usize,
        max_samples: u64,
        max_rate: f64,
        burst: f64,
        now: f64,
    ) -> PyResult<Self> {
        if sample_rate == 0 || frame_bytes == 0 {
            return Err(PyValueError::new_err("sample_rate and frame_bytes must be 1 at least"));
        }
        let limits = IntakeLimits { frame_bytes, sample_rate, block_bytes, max_samples, max_rate, burst };
        Ok(Self { intake: Intake::new(limits, now), ready: Vec::new() })
    }

    /// Take an RTP packet if it is simply the next one and may come.
    fn take_packet<'py>(&mut self, py: Python<'py>, data: Cow<'_, [u8]>, now: f64) -> Option<Bound<'py, PyBytes>> {
        let taken = self.intake.take_packet(&data, now);
        self.taken(py, taken)
    }

    /// Take bare audio if it may come.
    fn take_chunk<'py>(&mut self, py: Python<'py>, data: Cow<'_, [u8]>, now: f64) -> Option<Bound<'py, PyBytes>> {
        let taken = self.intake.take_chunk(&data, now);
        self.taken(py, taken)
    }

    /// What was taken and not handed on yet.
    fn take_block<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let block = PyBytes::new(py, self.intake.block());
        self.intake.clear_block();
        block
    }

    /// Put a packet in order.
    fn push(
        &mut self,
        py: Python<'_>,
        sequence_number: u16,
        timestamp: u32,
        payload: Cow<'_, [u8]>,
        samples: u32,
        now: f64,
    ) -> Vec<Ready> {
        self.intake.sequence.push(sequence_number, timestamp, &payload, samples, now, &mut self.ready);
        self.released(py)
    }

    /// Give up what is missing and release what waits for it.
    fn flush(&mut self, py: Python<'_>) -> Vec<Ready> {
        self.intake.sequence.flush(&mut self.ready);
        self.released(py)
    }

    /// True where a packet came before, or was given up.
    fn knows(&self, sequence_number: u16) -> bool {
        self.intake.sequence.knows(sequence_number)
    }

    /// Take `seconds` of audio; 0, or how many seconds to wait for that.
    fn pace(&mut self, seconds: f64, now: f64) -> f64 {
        self.intake.pace.take(seconds, now)
    }

    /// Account for `seconds` of audio that have been taken already, over the pace or not.
    fn charge(&mut self, seconds: f64, now: f64) {
        self.intake.pace.charge(seconds, now);
    }

    #[getter]
    fn next_seq(&self) -> u64 {
        self.intake.sequence.next_seq()
    }

    #[getter]
    fn begun(&self) -> bool {
        self.intake.sequence.begun()
    }

    #[getter]
    fn samples(&self) -> u64 {
        self.intake.samples
    }

    #[setter]
    fn set_samples(&mut self, samples: u64) {
        self.intake.samples = samples;
    }

    /// Received, lost, duplicates, reordered, jitter in samples.
    fn counters(&self) -> (u64, u64, u64, u64, f64) {
        let stats = self.intake.sequence.stats();
        (stats.received, stats.lost, stats.duplicates, stats.reordered, stats.jitter)
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RtpPacket>()?;
    module.add_class::<Ready>()?;
    module.add_class::<AudioIntake>()?;
    module.add_function(wrap_pyfunction!(parse_rtp, module)?)
}
