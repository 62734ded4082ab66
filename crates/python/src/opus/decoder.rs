use antiphon_core::opus::{Decoder, Dred, packet_samples, values};
use antiphon_core::{Error, Result};
use numpy::PyArray1;
use pyo3::prelude::*;

use super::buffers::{BytesIn, Room, slice_mut, wrong_room};
use super::{maybe_detached, new_array};
use crate::error::to_python;

/// An Opus decoder (libopus), which is told of every packet in order: decoded, or lost and concealed or recovered.
///
/// Samples are interleaved where there are two channels; numbers of samples are those of one channel. Each method comes
/// in three forms: giving a new int16 array (softly clipped), a new float32 array (which may go beyond ±1), or writing
/// into a buffer of either. For use by one thread at a time.
///
/// Args:
///     sample_rate: Hertz of what comes out, whatever the packets: 8000, 12000, 16000, 24000 or 48000.
///     channels: 1 or 2.
///     complexity: 0 to 10. From 5 on, losses are concealed by a neural network; from 6 on, and more so from 7 on, speech
///         at low rates is enhanced by another, so that good packets no longer decode to the same bits as elsewhere.
///     bandwidth_extension: Give wide-band speech a synthetic upper band; needs 48000 Hz and a complexity of 4 or more.
///
/// Raises:
///     ValueError: A value is none of these.
#[pyclass(module = "antiphon._native")]
pub struct OpusDecoder {
    decoder: Decoder,
}

impl OpusDecoder {
    /// Whether so many samples may take more than some 50 µs.
    fn is_long(&self, samples: usize) -> bool {
        let channels = usize::from(self.decoder.channels());
        self.decoder.complexity() >= 5 || samples * channels > self.decoder.sample_rate() as usize / 50
    }

    fn room(&self, samples: usize) -> Result<usize> {
        let channels = usize::from(self.decoder.channels());
        // A minute is longer than any loss that is worth concealing.
        if samples > self.decoder.sample_rate() as usize * 60 {
            return Err(Error::TooLarge(format!("at most a minute can be concealed at once; got {samples} samples")));
        }
        Ok(samples * channels)
    }

    /// Fills a new array, or `out`, without the interpreter lock where that takes long.
    fn fill<'py, T: numpy::Element + Send>(
        &mut self,
        py: Python<'py>,
        samples: usize,
        long: bool,
        work: impl FnOnce(&mut Decoder, &mut [T]) -> Result<()> + Send,
    ) -> PyResult<Bound<'py, PyArray1<T>>> {
        let long = long || self.is_long(samples);
        let room = self.room(samples).map_err(to_python)?;
        let decoder = &mut self.decoder;
        new_array(py, room, |out| maybe_detached(py, long, || work(decoder, out)).map_err(to_python))
    }

    fn fill_out<R: Send>(
        &mut self,
        py: Python<'_>,
        out: Room,
        long: bool,
        int16: impl FnOnce(&mut Decoder, &mut [i16]) -> Result<R> + Send,
        float: impl FnOnce(&mut Decoder, &mut [f32]) -> Result<R> + Send,
    ) -> PyResult<R> {
        let is_long = |this: &Self, length: usize| long || this.is_long(length / usize::from(this.decoder.channels()));
        match out {
            Room::Int16(mut out) => {
                let out = slice_mut(&mut out);
                let long = is_long(self, out.len());
                maybe_detached(py, long, || int16(&mut self.decoder, out)).map_err(to_python)
            }
            Room::Float(mut out) => {
                let out = slice_mut(&mut out);
                let long = is_long(self, out.len());
                maybe_detached(py, long, || float(&mut self.decoder, out)).map_err(to_python)
            }
            Room::Bytes(_) => Err(wrong_room("int16 or float32")),
        }
    }
}

#[pymethods]
impl OpusDecoder {
    #[new]
    #[pyo3(signature = (sample_rate = 48_000, channels = 1, *, complexity = 0, bandwidth_extension = false))]
    fn new(sample_rate: i64, channels: i64, complexity: i64, bandwidth_extension: bool) -> PyResult<Self> {
        let make = || {
            let mut decoder = Decoder::new(values::sample_rate(sample_rate)?, values::channels(channels)?)?;
            decoder.set_complexity(values::complexity(complexity)?)?;
            decoder.set_bandwidth_extension(bandwidth_extension)?;
            Ok(Self { decoder })
        };
        make().map_err(to_python)
    }

    /// Decode a packet to int16.
    ///
    /// Raises:
    ///     BadAudio: The packet is malformed; the message names the byte. The decoder is unchanged: conceal the loss.
    fn decode<'py>(&mut self, py: Python<'py>, packet: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<i16>>> {
        let packet = BytesIn::get(packet)?;
        let samples = packet_samples(packet.bytes(), self.decoder.sample_rate()).map_err(to_python)?;
        self.fill(py, samples, false, |decoder, out| decoder.decode(packet.bytes(), out).map(|_| ()))
    }

    /// Decode a packet to float32. Raises as :meth:`decode`.
    fn decode_float<'py>(
        &mut self,
        py: Python<'py>,
        packet: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let packet = BytesIn::get(packet)?;
        let samples = packet_samples(packet.bytes(), self.decoder.sample_rate()).map_err(to_python)?;
        self.fill(py, samples, false, |decoder, out| decoder.decode_float(packet.bytes(), out).map(|_| ()))
    }

    /// Decode a packet into a writable int16 or float32 buffer with room for all of it; returns its samples.
    ///
    /// Raises:
    ///     BadAudio: As :meth:`decode`.
    ///     ValueError: There isn't enough room.
    fn decode_into(&mut self, py: Python<'_>, packet: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<usize> {
        let packet = BytesIn::get(packet)?;
        let out = Room::get(out, packet.place())?;
        let samples = packet_samples(packet.bytes(), self.decoder.sample_rate()).map_err(to_python)?;
        let long = self.is_long(samples);
        self.fill_out(
            py,
            out,
            long,
            |decoder, out| decoder.decode(packet.bytes(), out),
            |decoder, out| decoder.decode_float(packet.bytes(), out),
        )
    }

    /// What may have been in ``samples`` that were lost, a multiple of 2.5 ms, as int16.
    ///
    /// Raises:
    ///     ValueError: ``samples`` isn't such a multiple.
    ///     BadAudio: More than a minute.
    fn conceal<'py>(&mut self, py: Python<'py>, samples: usize) -> PyResult<Bound<'py, PyArray1<i16>>> {
        self.fill(py, samples, false, Decoder::conceal)
    }

    /// As :meth:`conceal`, as float32.
    fn conceal_float<'py>(&mut self, py: Python<'py>, samples: usize) -> PyResult<Bound<'py, PyArray1<f32>>> {
        self.fill(py, samples, false, Decoder::conceal_float)
    }

    /// As :meth:`conceal`, filling a writable int16 or float32 buffer.
    fn conceal_into(&mut self, py: Python<'_>, out: &Bound<'_, PyAny>) -> PyResult<()> {
        self.fill_out(py, Room::get(out, 0..0)?, false, Decoder::conceal, Decoder::conceal_float)
    }

    /// The ``samples`` lost just before the packet ``next_packet``, by the in-band FEC it carries, as int16.
    ///
    /// Where it carries none, is malformed, or covers only the end of what was lost, the rest is concealed. The packet
    /// itself is to be decoded after this. Raises as :meth:`conceal`.
    fn recover<'py>(
        &mut self,
        py: Python<'py>,
        next_packet: &Bound<'py, PyAny>,
        samples: usize,
    ) -> PyResult<Bound<'py, PyArray1<i16>>> {
        let next = BytesIn::get(next_packet)?;
        self.fill(py, samples, false, |decoder, out| decoder.recover(next.bytes(), out))
    }

    /// As :meth:`recover`, as float32.
    fn recover_float<'py>(
        &mut self,
        py: Python<'py>,
        next_packet: &Bound<'py, PyAny>,
        samples: usize,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let next = BytesIn::get(next_packet)?;
        self.fill(py, samples, false, |decoder, out| decoder.recover_float(next.bytes(), out))
    }

    /// As :meth:`recover`, filling a writable int16 or float32 buffer.
    fn recover_into(&mut self, py: Python<'_>, next_packet: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<()> {
        let next = BytesIn::get(next_packet)?;
        let out = Room::get(out, next.place())?;
        self.fill_out(
            py,
            out,
            false,
            |decoder, out| decoder.recover(next.bytes(), out),
            |decoder, out| decoder.recover_float(next.bytes(), out),
        )
    }

    /// The ``samples`` that begin ``before`` samples ahead of the packet that ``dred`` was parsed from, as int16.
    ///
    /// What that packet doesn't describe is concealed. Raises as :meth:`conceal`.
    fn recover_dred<'py>(
        &mut self,
        py: Python<'py>,
        dred: &OpusDred,
        before: usize,
        samples: usize,
    ) -> PyResult<Bound<'py, PyArray1<i16>>> {
        self.fill(py, samples, true, |decoder, out| decoder.recover_dred(&dred.dred, before, out))
    }

    /// As :meth:`recover_dred`, as float32.
    fn recover_dred_float<'py>(
        &mut self,
        py: Python<'py>,
        dred: &OpusDred,
        before: usize,
        samples: usize,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        self.fill(py, samples, true, |decoder, out| decoder.recover_dred_float(&dred.dred, before, out))
    }

    /// As :meth:`recover_dred`, filling a writable int16 or float32 buffer.
    fn recover_dred_into(
        &mut self,
        py: Python<'_>,
        dred: &OpusDred,
        before: usize,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.fill_out(
            py,
            Room::get(out, 0..0)?,
            true,
            |decoder, out| decoder.recover_dred(&dred.dred, before, out),
            |decoder, out| decoder.recover_dred_float(&dred.dred, before, out),
        )
    }

    /// Forget all audio; the settings stay.
    fn reset(&mut self) {
        self.decoder.reset();
    }

    /// Hertz of what comes out.
    #[getter]
    fn sample_rate(&self) -> u32 {
        self.decoder.sample_rate()
    }

    /// Channels of what comes out.
    #[getter]
    fn channels(&self) -> u8 {
        self.decoder.channels()
    }

    /// 0 to 10; may be set at any time.
    #[getter]
    fn complexity(&self) -> u8 {
        self.decoder.complexity()
    }

    #[setter]
    fn set_complexity(&mut self, value: i64) -> PyResult<()> {
        values::complexity(value).and_then(|value| self.decoder.set_complexity(value)).map_err(to_python)
    }

    /// Whether wide-band speech is given a synthetic upper band; may be set at any time.
    #[getter]
    fn bandwidth_extension(&self) -> bool {
        self.decoder.bandwidth_extension()
    }

    #[setter]
    fn set_bandwidth_extension(&mut self, value: bool) -> PyResult<()> {
        self.decoder.set_bandwidth_extension(value).map_err(to_python)
    }

    /// State of the entropy coder after the last packet, the same as its encoder's (RFC 8251).
    #[getter]
    fn final_range(&self) -> u32 {
        self.decoder.final_range()
    }

    fn __repr__(&self) -> String {
        format!(
            "OpusDecoder(sample_rate={}, channels={}, complexity={})",
            self.decoder.sample_rate(),
            self.decoder.channels(),
            self.decoder.complexity()
        )
    }
}

/// What a packet's deep redundancy (DRED) says of the audio before it.
///
/// After a loss, :meth:`parse` the packet that came, and let the decoder ``recover_dred`` frame after frame of what was
/// lost, the oldest first; then decode the packet. It keeps nothing but the last packet's, so one serves many streams.
#[pyclass(module = "antiphon._native")]
pub struct OpusDred {
    dred: Dred,
}

#[pymethods]
impl OpusDred {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self { dred: Dred::new().map_err(to_python)? })
    }

    /// Read what ``packet`` carries about up to ``samples`` samples of one channel, at ``sample_rate`` Hz, before its first.
    ///
    /// Returns:
    ///     How many samples back that goes: 0 where it carries nothing.
    ///
    /// Raises:
    ///     BadAudio: The packet is malformed.
    ///     ValueError: Opus has no such sample rate.
    fn parse(
        &mut self,
        py: Python<'_>,
        packet: &Bound<'_, PyAny>,
        sample_rate: i64,
        samples: usize,
    ) -> PyResult<usize> {
        let sample_rate = values::sample_rate(sample_rate).map_err(to_python)?;
        let packet = BytesIn::get(packet)?;
        let dred = &mut self.dred;
        py.detach(|| dred.parse(packet.bytes(), sample_rate, samples)).map_err(to_python)
    }

    /// Samples before the packet's first at which what it describes begins.
    #[getter]
    fn reach(&self) -> usize {
        self.dred.reach()
    }

    /// Samples before the packet's first at which what it describes ends: silence there is left out.
    #[getter]
    fn gap(&self) -> usize {
        self.dred.gap()
    }

    fn __repr__(&self) -> String {
        format!("OpusDred(reach={}, gap={})", self.dred.reach(), self.dred.gap())
    }
}
