use std::{os::fd::BorrowedFd, time::Duration};

use antiphon_broadcast::{Broadcaster, Error, Event, TapeOptions};
use pyo3::{
    exceptions::{PyLookupError, PyRuntimeError, PyValueError},
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyDict, PyList, PyTuple},
};

fn to_python(error: Error) -> PyErr {
    match error {
        Error::Invalid(message) => PyValueError::new_err(message),
        Error::Unknown(message) => PyLookupError::new_err(message),
        Error::Io(error) => error.into(),
        Error::Overloaded => PyRuntimeError::new_err(error.to_string()),
    }
}

/// Packets paced to many WebSocket connections, by a thread that never takes the interpreter lock.
///
/// All calls return at once; what comes of them is told by `poll`.
#[pyclass(module = "antiphon._native", name = "Broadcaster", frozen)]
struct PyBroadcaster {
    broadcaster: std::sync::Mutex<Option<Broadcaster>>,
    fd: i32,
}

impl PyBroadcaster {
    fn with<T>(&self, act: impl FnOnce(&Broadcaster) -> Result<T, Error>) -> PyResult<T> {
        let broadcaster = self.broadcaster.lock().map_err(|_| PyRuntimeError::new_err("it has failed"))?;
        let broadcaster = broadcaster.as_ref().ok_or_else(|| PyRuntimeError::new_err("it is closed"))?;
        act(broadcaster).map_err(to_python)
    }
}

#[pymethods]
impl PyBroadcaster {
    #[new]
    fn new() -> PyResult<Self> {
        let broadcaster = Broadcaster::start().map_err(to_python)?;
        Ok(Self { fd: broadcaster.fd(), broadcaster: std::sync::Mutex::new(Some(broadcaster)) })
    }

    fn fileno(&self) -> i32 {
        self.fd
    }

    #[pyo3(signature = (limit=1024))]
    fn poll<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let events = self.with(|broadcaster| Ok(broadcaster.poll(limit)))?;
        let events: Vec<_> = events.into_iter().map(|event| tuple(py, event)).collect::<PyResult<_>>()?;
        PyList::new(py, events)
    }

    #[pyo3(signature = (*, frame_us, live=false, first=0, low_ahead=100, max_bytes=64 << 20))]
    fn open_tape(&self, frame_us: u64, live: bool, first: u64, low_ahead: u64, max_bytes: usize) -> PyResult<u64> {
        let options = TapeOptions { frame_us, live, first, low_ahead, max_bytes };
        self.with(|broadcaster| broadcaster.open_tape(options))
    }

    fn append(&self, tape: u64, packets: Vec<PyBackedBytes>) -> PyResult<()> {
        self.with(|broadcaster| broadcaster.append(tape, packets.iter().map(|packet| packet.as_ref())))
    }

    fn finish(&self, tape: u64) -> PyResult<()> {
        self.with(|broadcaster| broadcaster.finish(tape))
    }

    fn close_tape(&self, tape: u64) -> PyResult<()> {
        self.with(|broadcaster| broadcaster.close_tape(tape))
    }

    fn tape_stats<'py>(&self, py: Python<'py>, tape: u64) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.with(|broadcaster| broadcaster.tape_stats(tape))?;
        let out = PyDict::new(py);
        out.set_item("packets", stats.packets)?;
        out.set_item("bytes", stats.bytes)?;
        out.set_item("readers", stats.readers)?;
        out.set_item("furthest", stats.furthest)?;
        out.set_item("dropped_head", stats.dropped_head)?;
        Ok(out)
    }

    #[pyo3(signature = (tape, fd, *, position=0, max_lag_ms=1000))]
    fn attach(&self, tape: u64, fd: i32, position: u64, max_lag_ms: u64) -> PyResult<u64> {
        if fd < 0 {
            return Err(PyValueError::new_err(format!("a file descriptor is wanted; got {fd}")));
        }
        // SAFETY: it is not negative, and only duplicated, during this call. One that is not open gives an error.
        let socket = unsafe { BorrowedFd::borrow_raw(fd) };
        let max_lag = Duration::from_millis(max_lag_ms);
        self.with(|broadcaster| broadcaster.attach(tape, socket, position, max_lag))
    }

    fn send(&self, reader: u64, frame: &[u8]) -> PyResult<bool> {
        self.with(|broadcaster| broadcaster.send(reader, frame))
    }

    fn switch(&self, reader: u64, tape: u64) -> PyResult<()> {
        self.with(|broadcaster| broadcaster.switch(reader, tape))
    }

    #[pyo3(signature = (reader, position=None, tape=None))]
    fn seek(&self, reader: u64, position: Option<u64>, tape: Option<u64>) -> PyResult<()> {
        self.with(|broadcaster| broadcaster.seek(reader, position, tape))
    }

    fn pause(&self, reader: u64) -> PyResult<()> {
        self.with(|broadcaster| broadcaster.pause(reader))
    }

    fn resume(&self, reader: u64) -> PyResult<()> {
        self.with(|broadcaster| broadcaster.resume(reader))
    }

    fn detach(&self, reader: u64) -> PyResult<()> {
        self.with(|broadcaster| broadcaster.detach(reader))
    }

    fn reader_stats<'py>(&self, py: Python<'py>, reader: u64) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.with(|broadcaster| broadcaster.reader_stats(reader))?;
        let out = PyDict::new(py);
        out.set_item("sent", stats.sent)?;
        out.set_item("bytes", stats.bytes)?;
        out.set_item("dropped", stats.dropped)?;
        out.set_item("stalls", stats.stalls)?;
        out.set_item("underruns", stats.underruns)?;
        out.set_item("position", stats.position)?;
        Ok(out)
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let statistics = self.with(|broadcaster| Ok(broadcaster.statistics()))?;
        let out = PyDict::new(py);
        out.set_item("readers", statistics.readers)?;
        out.set_item("tapes", statistics.tapes)?;
        out.set_item("tape_bytes", statistics.tape_bytes)?;
        out.set_item("packets", statistics.packets)?;
        out.set_item("bytes", statistics.bytes)?;
        out.set_item("dropped", statistics.dropped)?;
        out.set_item("stalls", statistics.stalls)?;
        out.set_item("underruns", statistics.underruns)?;
        out.set_item("errors", statistics.errors)?;
        out.set_item("cpu_us", statistics.cpu_us)?;
        out.set_item("late_packets", statistics.late.packets)?;
        out.set_item("late_us_p50", statistics.late.p50)?;
        out.set_item("late_us_p99", statistics.late.p99)?;
        out.set_item("late_us_p999", statistics.late.p999)?;
        out.set_item("late_us_max", statistics.late.max)?;
        Ok(out)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            if let Ok(mut broadcaster) = self.broadcaster.lock() {
                drop(broadcaster.take());
            }
        });
    }

    fn __repr__(&self) -> String {
        let open = self.broadcaster.lock().is_ok_and(|broadcaster| broadcaster.is_some());
        format!("Broadcaster(open={})", if open { "True" } else { "False" })
    }
}

fn tuple<'py>(py: Python<'py>, event: Event) -> PyResult<Bound<'py, PyTuple>> {
    match event {
        Event::Low(tape) => ("low", tape).into_pyobject(py),
        Event::Ended(reader) => ("ended", reader).into_pyobject(py),
        Event::Gone { reader, reason } => ("gone", reader, reason.to_string()).into_pyobject(py),
        Event::Released(reader) => ("released", reader).into_pyobject(py),
        Event::Dropped { reader, packets } => ("dropped", reader, packets).into_pyobject(py),
        Event::Overflow(count) => ("overflow", count).into_pyobject(py),
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyBroadcaster>()
}
