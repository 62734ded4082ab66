use std::{net::IpAddr, time::Duration};

use antiphon_core::{
    mixer::{InputFormat, OutputFormat},
    opus::{Application, EncoderConfig, FrameSize},
};
use antiphon_rtc::{Engine, EngineConfig, Error, Event, LocalInput, MemberStats, RoomMode, RoomOptions};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyTuple},
};

/// Longest wait of a peer of whom nothing comes, in seconds.
const LONGEST_TIMEOUT: f64 = 3600.0;

fn to_python(error: Error) -> PyErr {
    match error {
        Error::Unsupported(message) => PyValueError::new_err(message),
        Error::Io(error) => error.into(),
        Error::Overloaded => PyRuntimeError::new_err(error.to_string()),
    }
}

fn address(text: &str) -> PyResult<IpAddr> {
    let name = if text == "localhost" { "127.0.0.1" } else { text };
    name.parse().map_err(|_| PyValueError::new_err(format!("an IP address is wanted, such as 192.0.2.7; got {text:?}")))
}

/// WebRTC peers and rooms, on threads of their own that never take the interpreter lock.
///
/// All calls return at once; what comes of them is told by `poll`.
#[pyclass(module = "antiphon._native", name = "RtcEngine", frozen)]
struct RtcEngine {
    engine: std::sync::Mutex<Option<Engine>>,
    host: String,
    port: u16,
    tcp_port: Option<u16>,
    fd: i32,
}

impl RtcEngine {
    fn with<T>(&self, act: impl FnOnce(&Engine) -> Result<T, Error>) -> PyResult<T> {
        let engine = self.engine.lock().map_err(|_| PyRuntimeError::new_err("the engine has failed"))?;
        let engine = engine.as_ref().ok_or_else(|| PyRuntimeError::new_err("the engine is closed"))?;
        act(engine).map_err(to_python)
    }
}

#[pymethods]
impl RtcEngine {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "they are named in Python")]
    #[pyo3(signature = (*, host="127.0.0.1", port=0, tcp=true, threads=1, announce=Vec::new(), max_peers=1000, peer_timeout=30.0))]
    fn new(
        py: Python<'_>,
        host: &str,
        port: u16,
        tcp: bool,
        threads: usize,
        announce: Vec<String>,
        max_peers: usize,
        peer_timeout: f64,
    ) -> PyResult<Self> {
        if !(1.0..=LONGEST_TIMEOUT).contains(&peer_timeout) {
            return Err(PyValueError::new_err(format!(
                "peer_timeout must be 1 to {LONGEST_TIMEOUT} seconds; got {peer_timeout}"
            )));
        }
        let config = EngineConfig {
            host: address(host)?,
            port,
            tcp,
            threads,
            announce: announce.iter().map(|text| address(text)).collect::<PyResult<_>>()?,
            max_peers,
            peer_timeout: Duration::from_secs_f64(peer_timeout),
        };
        let engine = py.detach(|| Engine::start(&config)).map_err(to_python)?;
        let (udp, tcp) = engine.addresses();
        Ok(Self {
            fd: engine.fd(),
            host: udp.ip().to_string(),
            port: udp.port(),
            tcp_port: tcp.map(|address| address.port()),
            engine: std::sync::Mutex::new(Some(engine)),
        })
    }

    #[getter]
    fn host(&self) -> &str {
        &self.host
    }

    #[getter]
    fn port(&self) -> u16 {
        self.port
    }

    #[getter]
    fn tcp_port(&self) -> Option<u16> {
        self.tcp_port
    }

    fn fileno(&self) -> i32 {
        self.fd
    }

    #[getter]
    fn datagrams_dropped(&self) -> PyResult<u64> {
        self.with(|engine| Ok(engine.datagrams_dropped()))
    }

    #[pyo3(signature = (limit=1024))]
    fn poll<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let events = self.with(|engine| Ok(engine.poll(limit)))?;
        let events: Vec<_> = events.into_iter().map(|event| tuple(py, event)).collect::<PyResult<_>>()?;
        PyList::new(py, events)
    }

    #[pyo3(signature = (*, mode="relay", tick_ms=20, loudest=3, bitrate=32_000, complexity=5, max_participants=1000))]
    fn open_room(
        &self,
        mode: &str,
        tick_ms: u32,
        loudest: usize,
        bitrate: u32,
        complexity: u8,
        max_participants: usize,
    ) -> PyResult<u64> {
        let mode = match mode {
            "relay" => RoomMode::Relay,
            "mix" => RoomMode::Mix,
            _ => return Err(PyValueError::new_err(format!("mode must be relay or mix; got {mode:?}"))),
        };
        let options = RoomOptions { mode, tick_ms, loudest, bitrate, complexity, max_participants };
        self.with(|engine| engine.open_room(options))
    }

    fn close_room(&self, room: u64) -> PyResult<()> {
        self.with(|engine| engine.close_room(room))
    }

    #[pyo3(signature = (room, offer, *, publish=true, listen=true))]
    fn join(&self, room: u64, offer: String, publish: bool, listen: bool) -> PyResult<u64> {
        self.with(|engine| engine.join(room, offer, publish, listen))
    }

    fn offer(&self, peer: u64, offer: String) -> PyResult<()> {
        self.with(|engine| engine.offer(peer, offer))
    }

    fn candidate(&self, peer: u64, candidate: String) -> PyResult<()> {
        self.with(|engine| engine.candidate(peer, candidate))
    }

    #[pyo3(signature = (
        room, *, publish, listen, encoding="pcm_s16le", sample_rate=16_000, channels=1,
        reply_encoding="opus", reply_rate=48_000, reply_channels=1, reply_bitrate=32_000, reply_frame_ms=20,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are named in Python")]
    fn join_local(
        &self,
        room: u64,
        publish: bool,
        listen: bool,
        encoding: &str,
        sample_rate: u32,
        channels: u8,
        reply_encoding: &str,
        reply_rate: u32,
        reply_channels: u8,
        reply_bitrate: u32,
        reply_frame_ms: u32,
    ) -> PyResult<u64> {
        let input = publish.then(|| local_input(encoding, sample_rate, channels)).transpose()?;
        let output = listen
            .then(|| local_output(reply_encoding, reply_rate, reply_channels, reply_bitrate, reply_frame_ms))
            .transpose()?;
        self.with(|engine| engine.join_local(room, input, output))
    }

    fn push(&self, participant: u64, payload: &[u8]) -> PyResult<()> {
        self.with(|engine| engine.push(participant, payload.to_vec()))
    }

    fn leave(&self, participant: u64) -> PyResult<()> {
        self.with(|engine| engine.leave(participant))
    }

    fn mute(&self, participant: u64, muted: bool) -> PyResult<()> {
        self.with(|engine| engine.mute(participant, muted))
    }

    #[pyo3(signature = (participant, sample_rate=16_000))]
    fn tap(&self, participant: u64, sample_rate: u32) -> PyResult<()> {
        self.with(|engine| engine.tap(participant, sample_rate))
    }

    fn untap(&self, participant: u64) -> PyResult<()> {
        self.with(|engine| engine.untap(participant))
    }

    fn send(&self, peer: u64, text: String) -> PyResult<()> {
        self.with(|engine| engine.say(peer, text))
    }

    fn set_bitrate(&self, peer: u64, bitrate: u32) -> PyResult<()> {
        self.with(|engine| engine.set_bitrate(peer, bitrate))
    }

    fn stats(&self, participant: u64) -> PyResult<()> {
        self.with(|engine| engine.stats(participant))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            if let Ok(mut engine) = self.engine.lock() {
                drop(engine.take());
            }
        });
    }

    fn __repr__(&self) -> String {
        format!("RtcEngine(host={:?}, port={}, tcp_port={:?})", self.host, self.port, self.tcp_port)
    }
}

fn local_input(encoding: &str, sample_rate: u32, channels: u8) -> PyResult<LocalInput> {
    Ok(match encoding {
        "pcm_s16le" => LocalInput::Pcm { sample_rate, channels },
        "opus" => LocalInput::Packets(InputFormat::Opus),
        "mulaw" => LocalInput::Packets(InputFormat::Pcmu),
        "alaw" => LocalInput::Packets(InputFormat::Pcma),
        _ => return Err(unknown("encoding", encoding)),
    })
}

fn local_output(encoding: &str, rate: u32, channels: u8, bitrate: u32, frame_ms: u32) -> PyResult<OutputFormat> {
    Ok(match encoding {
        "pcm_s16le" => OutputFormat::Pcm16 { sample_rate: rate, channels },
        "opus" => OutputFormat::Opus(EncoderConfig {
            sample_rate: rate,
            channels,
            application: Application::Voip,
            bitrate,
            complexity: 5,
            dtx: false,
            fec: false,
            expected_loss: 0,
            vbr: true,
            constrained_vbr: false,
            frame: FrameSize::from_millis(frame_ms.into()).map_err(crate::error::to_python)?,
            dred_ms: 0,
        }),
        "mulaw" => OutputFormat::Pcmu,
        "alaw" => OutputFormat::Pcma,
        _ => return Err(unknown("reply_encoding", encoding)),
    })
}

fn unknown(name: &str, encoding: &str) -> PyErr {
    PyValueError::new_err(format!("{name} must be pcm_s16le, opus, mulaw or alaw; got {encoding:?}"))
}

fn tuple<'py>(py: Python<'py>, event: Event) -> PyResult<Bound<'py, PyTuple>> {
    match event {
        Event::Answer { id, sdp } => ("answer", id, sdp).into_pyobject(py),
        Event::Refused { id, code, message } => ("refused", id, code.name(), message).into_pyobject(py),
        Event::BadCandidate { id, message } => ("bad_candidate", id, message).into_pyobject(py),
        Event::Connected(id) => ("connected", id).into_pyobject(py),
        Event::Disconnected(id) => ("disconnected", id).into_pyobject(py),
        Event::Closed { id, reason } => ("closed", id, reason).into_pyobject(py),
        Event::Channel(id) => ("channel", id).into_pyobject(py),
        Event::Message { id, text } => ("message", id, text).into_pyobject(py),
        Event::Speaking { id, active } => ("speaking", id, active).into_pyobject(py),
        Event::Slots { id, slots } => ("slots", id, slots).into_pyobject(py),
        Event::Tap { id, pcm } => ("tap", id, PyBytes::new(py, &pcm)).into_pyobject(py),
        Event::Audio { id, payload } => ("audio", id, PyBytes::new(py, &payload)).into_pyobject(py),
        Event::Stats { id, stats } => ("stats", id, figures(py, &stats)?).into_pyobject(py),
        Event::Overflow(count) => ("overflow", count).into_pyobject(py),
    }
}

fn figures<'py>(py: Python<'py>, stats: &MemberStats) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("packets_received", stats.packets_received)?;
    out.set_item("bytes_received", stats.bytes_received)?;
    out.set_item("packets_sent", stats.packets_sent)?;
    out.set_item("bytes_sent", stats.bytes_sent)?;
    out.set_item("flooded", stats.flooded)?;
    out.set_item("messages_dropped", stats.messages_dropped)?;
    out.set_item("round_trip", stats.round_trip)?;
    out.set_item("remote_loss", stats.remote_loss)?;
    out.set_item("remote_jitter", stats.remote_jitter)?;
    out.set_item("loss", stats.loss)?;
    out.set_item("jitter", stats.jitter)?;
    out.set_item("bitrate", stats.bitrate)?;
    out.set_item("transport", stats.transport)?;
    if let Some(buffer) = &stats.buffer {
        out.set_item("buffer_delay", buffer.delay_ms / 1000.0)?;
        let played = buffer.played_samples.max(1) as f64;
        out.set_item("concealed", buffer.concealed_samples as f64 / (played + buffer.concealed_samples as f64))?;
        out.set_item("late", buffer.late)?;
        out.set_item("lost", buffer.lost)?;
    }
    Ok(out)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RtcEngine>()
}
