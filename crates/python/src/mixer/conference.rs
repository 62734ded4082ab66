use antiphon_core::mixer::{self, Counters, Id, Input};
use numpy::PyArray1;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMapping, PyTuple};

use super::format::{OutputFormat, input_format};
use super::pcm::as_float;
use super::{Given, as_dict, not_here, readonly};
use crate::error::to_python;
use crate::opus::buffers::{BytesIn, Pcm, PcmIn};

/// A packet of a participant that will not come, to be concealed.
///
/// Args:
///     next_packet: The packet after it, if it is here already: it may carry the lost one once more (in-band FEC). It is given
///         as itself in its own tick all the same.
#[pyclass(module = "antiphon._native", frozen)]
pub struct LostPacket {
    next_packet: Option<Py<PyBytes>>,
}

#[pymethods]
impl LostPacket {
    #[new]
    #[pyo3(signature = (next_packet = None))]
    fn new(next_packet: Option<Py<PyBytes>>) -> Self {
        Self { next_packet }
    }

    /// The packet after it.
    #[getter]
    fn next_packet<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.next_packet.as_ref().map(|next| next.bind(py).clone())
    }
}

/// What a :class:`Conference` has done since it was opened.
#[pyclass(module = "antiphon._native", frozen)]
pub struct ConferenceCounters {
    counters: Counters,
}

#[pymethods]
impl ConferenceCounters {
    /// Ticks mixed.
    #[getter]
    fn ticks(&self) -> u64 {
        self.counters.ticks
    }

    /// Packets decoded, to be heard or to learn their level.
    #[getter]
    fn decoded(&self) -> u64 {
        self.counters.decoded
    }

    /// Packets made by an encoder; one that many listeners share counts once.
    #[getter]
    fn encoded(&self) -> u64 {
        self.counters.encoded
    }

    /// Packets that could not be decoded, and were taken as lost.
    #[getter]
    fn malformed(&self) -> u64 {
        self.counters.malformed
    }

    /// Ticks of a participant that were concealed or recovered.
    #[getter]
    fn concealed(&self) -> u64 {
        self.counters.concealed
    }

    /// Samples thrown away of participants who sent more than their ticks hold.
    #[getter]
    fn dropped(&self) -> u64 {
        self.counters.dropped
    }

    /// Listeners who ceased to speak and left their own stream for the shared one.
    #[getter]
    fn rejoined(&self) -> u64 {
        self.counters.rejoined
    }

    fn __repr__(&self) -> String {
        let Counters { ticks, decoded, encoded, malformed, concealed, dropped, rejoined } = self.counters;
        format!(
            "ConferenceCounters(ticks={ticks}, decoded={decoded}, encoded={encoded}, malformed={malformed}, \
             concealed={concealed}, dropped={dropped}, rejoined={rejoined})"
        )
    }
}

/// Mixes packets: what arrived of each participant in, the packet for each listener out.
///
/// Only those are decoded who may be heard, by the level that the sender gives (RFC 6464) or, without one, by what the
/// packet tells from outside and a look at one in ``probe_ticks`` packets. An encoder runs once for all who hear the
/// same mix in the same format, and once for each who is heard and so hears a mix without their own voice. Who begins to
/// speak goes on with a copy of the shared encoder; who has ceased returns to the shared stream as soon as their decoder
/// makes of it what it would have made of their own, which usually takes a fifth of a second after the last sound.
///
/// For use by one thread at a time; while a tick is mixed, other Python threads run. The arguments are those of
/// :class:`Mixer`, and
///
/// Args:
///     probe_ticks: A quiet participant whose level nobody tells is decoded every so many ticks, 1 to 50.
///
/// Raises:
///     ValueError: A value is not one of the right ones, which the message lists.
#[pyclass(module = "antiphon._native")]
pub struct Conference {
    room: mixer::Conference,
}

#[pymethods]
impl Conference {
    #[new]
    #[pyo3(signature = (
        sample_rate = 48_000, channels = 1, *, tick_ms = 20, loudest = Some(3), threshold = -50.0, hold_ms = 400,
        margin = 6.0, tenure_ms = 300, fade_ms = 5.0, lookahead_ms = 2.5, ceiling = -1.0, probe_ticks = 3,
        max_participants = 1_000,
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
        probe_ticks: i64,
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
            probe_ticks,
            max_participants,
        };
        let room = given.config().and_then(mixer::Conference::new).map_err(to_python)?;
        Ok(Self { room })
    }

    /// Take somebody in.
    ///
    /// Args:
    ///     participant: Any number from 0 to 2**64 - 1.
    ///     codec: What they send: ``opus``, ``mulaw``, ``alaw`` or ``pcm_s16le``.
    ///     output: What they hear; None for those who hear nothing.
    ///     sample_rate: Of ``pcm_s16le``: 8000, 12000, 16000, 24000 or 48000.
    ///     channels: Of ``pcm_s16le``: 1 or 2.
    ///
    /// Raises:
    ///     ValueError: The number is taken, or a format is not one of these.
    ///     BadAudio: The room is full.
    #[pyo3(signature = (participant, codec = "opus", output = None, *, sample_rate = 16_000, channels = 1))]
    fn add(
        &mut self,
        participant: Id,
        codec: &str,
        output: Option<PyRef<'_, OutputFormat>>,
        sample_rate: i64,
        channels: i64,
    ) -> PyResult<()> {
        let output = output.map(|output| output.format);
        input_format(codec, sample_rate, channels)
            .and_then(|input| self.room.add(participant, input, output))
            .map_err(to_python)
    }

    /// Let somebody go; whether there was anybody of that number.
    fn remove(&mut self, participant: Id) -> bool {
        self.room.remove(participant)
    }

    /// Make somebody louder or quieter for all others: a factor from 0 to 10. The change is faded.
    fn set_gain(&mut self, participant: Id, gain: f64) -> PyResult<()> {
        self.room.set_gain(participant, gain as f32).map_err(to_python)
    }

    /// Keep somebody from being heard, or end that. Who is muted goes on hearing, and is not decoded.
    fn set_muted(&mut self, participant: Id, muted: bool) -> PyResult<()> {
        self.room.set_muted(participant, muted).map_err(to_python)
    }

    /// Change what somebody hears.
    ///
    /// Where only bitrate, complexity, DTX, FEC, expected loss or DRED differ, the stream goes on without a seam.
    /// Listeners of different formats share no encoder: take bitrates from a short ladder.
    fn set_output(&mut self, participant: Id, output: Option<PyRef<'_, OutputFormat>>) -> PyResult<()> {
        self.room.set_output(participant, output.map(|output| output.format)).map_err(to_python)
    }

    /// Mix one tick.
    ///
    /// Args:
    ///     inputs: What arrived of each participant since the last tick; who is not in it sent nothing. Either a packet
    ///         (bytes), a packet with its level in -dBov from 0 (loudest) to 127 as a tuple of two, the same and
    ///         whether it is voice as a tuple of three (RFC 6464; each may be None), a :class:`LostPacket`, an array
    ///         (float32 or int16) of samples of the room's rate and channels that are decoded already, or a list of
    ///         several of these in their order.
    ///
    /// Returns:
    ///     The packet for each listener who is due one. All who share a stream are given one and the same object.
    ///
    /// Raises:
    ///     ValueError: A participant is not in the room, or an array is of another length than a tick; nothing has then
    ///         changed. A packet that cannot be decoded is no error: it counts as lost, in ``counters.malformed``.
    fn tick<'py>(&mut self, py: Python<'py>, inputs: &Bound<'py, PyMapping>) -> PyResult<Bound<'py, PyDict>> {
        let inputs = as_dict(inputs)?;
        let mut held = Vec::with_capacity(inputs.len());
        for (id, input) in inputs {
            let id = id.extract::<Id>()?;
            if let Ok(several) = input.cast::<PyList>() {
                several.iter().try_for_each(|input| Held::get(input).map(|input| held.push((id, input))))?;
            } else {
                held.push((id, Held::get(input)?));
            }
        }
        let inputs: Vec<_> = held.iter().map(|(id, input)| (*id, input.input())).collect();
        let room = &mut self.room;
        py.detach(|| room.tick(&inputs)).map_err(to_python)?;
        self.packets(py)
    }

    /// The packets of the last tick, as :meth:`tick` gave them.
    fn packets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = PyDict::new(py);
        let mut shared: Vec<Option<Bound<'py, PyBytes>>> = Vec::new();
        for packet in self.room.packets() {
            let Some(at) = packet.shared else {
                out.set_item(packet.id, PyBytes::new(py, packet.payload))?;
                continue;
            };
            if shared.len() <= at {
                shared.resize(at + 1, None);
            }
            let payload = shared[at].get_or_insert_with(|| PyBytes::new(py, packet.payload));
            out.set_item(packet.id, &*payload)?;
        }
        Ok(out)
    }

    /// The mix of everybody who is heard, float32, read-only: a recorder's view of the room.
    #[getter]
    fn shared<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        readonly(py, self.room.shared())
    }

    /// Who was heard in the last tick, with the levels in dBov, the loudest first.
    #[getter]
    fn active<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.room.active())
    }

    /// Whether somebody speaks, heard or not.
    fn speaking(&self, participant: Id) -> PyResult<bool> {
        self.room.talker(participant).map(|talker| talker.speaking()).ok_or_else(|| not_here(participant))
    }

    /// The last level that is known of somebody, in dBov, 0 to -127.
    fn level(&self, participant: Id) -> PyResult<f32> {
        self.room.talker(participant).map(|talker| talker.level()).ok_or_else(|| not_here(participant))
    }

    /// What was done so far.
    #[getter]
    fn counters(&self) -> ConferenceCounters {
        ConferenceCounters { counters: self.room.counters() }
    }

    /// How many listeners have an encoder of their own now: those who are heard, and those about to return.
    #[getter]
    fn own_streams(&self) -> usize {
        self.room.own_streams()
    }

    /// How many encoders are shared now.
    #[getter]
    fn shared_streams(&self) -> usize {
        self.room.shared_streams()
    }

    /// Samples of one channel in a tick.
    #[getter]
    fn tick_samples(&self) -> usize {
        self.room.config().tick_samples()
    }

    fn __len__(&self) -> usize {
        self.room.len()
    }

    fn __contains__(&self, participant: Id) -> bool {
        self.room.talker(participant).is_some()
    }

    fn __repr__(&self) -> String {
        let config = self.room.config();
        format!(
            "Conference(sample_rate={}, channels={}, participants={})",
            config.sample_rate,
            config.channels,
            self.room.len()
        )
    }
}

/// An input, with what keeps its bytes alive while other threads run.
enum Held<'py> {
    Packet { payload: Payload<'py>, level: Option<u8>, voice: Option<bool> },
    Lost(Option<Bound<'py, PyBytes>>),
    Floats(PcmIn),
    Converted(Vec<f32>),
}

enum Payload<'py> {
    Bytes(Bound<'py, PyBytes>),
    Buffer(BytesIn),
}

impl<'py> Payload<'py> {
    fn get(object: Bound<'py, PyAny>) -> PyResult<Self> {
        match object.cast_into::<PyBytes>() {
            Ok(bytes) => Ok(Self::Bytes(bytes)),
            Err(other) => BytesIn::get(&other.into_inner()).map(Self::Buffer),
        }
    }
}

impl<'py> Held<'py> {
    fn get(input: Bound<'py, PyAny>) -> PyResult<Self> {
        let input = match input.cast_into::<PyBytes>() {
            Ok(bytes) => return Ok(Self::Packet { payload: Payload::Bytes(bytes), level: None, voice: None }),
            Err(other) => other.into_inner(),
        };
        if let Ok(tuple) = input.cast::<PyTuple>() {
            return Self::with_level(tuple);
        }
        if let Ok(lost) = input.cast::<LostPacket>() {
            return Ok(Self::Lost(lost.get().next_packet(input.py())));
        }
        match PcmIn::get(&input)? {
            PcmIn::Bytes(_) => {
                Ok(Self::Packet { payload: Payload::Buffer(BytesIn::get(&input)?), level: None, voice: None })
            }
            PcmIn::Float(pcm) => Ok(Self::Floats(PcmIn::Float(pcm))),
            pcm => Ok(Self::Converted(as_float(&pcm.pcm()?))),
        }
    }

    fn with_level(tuple: &Bound<'py, PyTuple>) -> PyResult<Self> {
        if !(2..=3).contains(&tuple.len()) {
            return Err(PyTypeError::new_err("a tuple must be (packet, level) or (packet, level, voice)"));
        }
        let payload = Payload::get(tuple.get_item(0)?)?;
        let level = tuple.get_item(1)?.extract::<Option<u8>>()?;
        let voice = if tuple.len() == 3 { tuple.get_item(2)?.extract()? } else { None };
        Ok(Self::Packet { payload, level, voice })
    }

    fn input(&self) -> Input<'_> {
        match self {
            Self::Packet { payload, level, voice } => {
                let payload = match payload {
                    Payload::Bytes(bytes) => bytes.as_bytes(),
                    Payload::Buffer(bytes) => bytes.bytes(),
                };
                Input::Packet { payload, level: *level, voice: *voice }
            }
            Self::Lost(None) => Input::Lost,
            Self::Lost(Some(next)) => Input::Recover { next: next.as_bytes() },
            Self::Floats(pcm) => match pcm.pcm() {
                Ok(Pcm::Float(pcm)) => Input::Pcm(pcm),
                _ => Input::Pcm(&[]),
            },
            Self::Converted(pcm) => Input::Pcm(pcm),
        }
    }
}
