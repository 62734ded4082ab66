"""The media plane: everything that is done to audio, useful without a server.

Codecs (Opus, G.711), containers (WebM, Ogg), jitter buffer, echo canceller, mixer, resampler, levels, voice activity
and bitrate control run in the native core; whole files are read by FFmpeg. Samples are numpy arrays of ``float32`` in
-1 to 1 or of ``int16``; several channels are interleaved.
"""

from antiphon.media.bitrate import AdaptiveBitrateController, BitrateDecision, BitrateOptions, NetworkCondition
from antiphon.media.container import (
    CLOCK,
    MAX_OPUS_PACKET,
    OggDemuxer,
    OggWriter,
    OpusHead,
    OpusPacket,
    StreamEvent,
    StreamGap,
    StreamHeader,
    WebmDemuxer,
    demuxer,
    packet_duration,
)
from antiphon.media.echo import EchoCanceller, EchoConfig, EchoMetrics, EchoPreset
from antiphon.media.files import FileDecoder
from antiphon.media.g711 import (
    alaw_decode,
    alaw_decode_float,
    alaw_encode,
    mulaw_decode,
    mulaw_decode_float,
    mulaw_encode,
)
from antiphon.media.jitter import JitterBuffer, JitterConfig, JitterStats, JitterTag
from antiphon.media.level import AES17_OFFSET_DB, Level, LevelMeter, audio_level, audio_level_dbfs, measure_level
from antiphon.media.live import LiveOpus, SampleDecoder
from antiphon.media.mixer import (
    Conference,
    ConferenceCounters,
    InputFormat,
    LostPacket,
    Mixer,
    OutputFormat,
    RoomConfig,
    opus_output,
)
from antiphon.media.opus import (
    OPUS_VERSION,
    PRESETS,
    SAMPLE_RATES,
    VOICE_HIGH_QUALITY,
    VOICE_LOW_BANDWIDTH,
    VOICE_LOW_LATENCY,
    OpusApplication,
    OpusDecoder,
    OpusDred,
    OpusEncoder,
    OpusEncoderConfig,
    OpusPacketInfo,
    SoftClip,
    opus_has_fec,
    opus_packet_info,
    opus_packet_samples,
)
from antiphon.media.pcm import PcmConverter, rms_dbfs
from antiphon.media.resample import Resampler
from antiphon.media.vad import VoiceActivity, VoiceActivityDetector
from antiphon.media.wire import FileInfo

__all__ = [
    "AES17_OFFSET_DB",
    "CLOCK",
    "MAX_OPUS_PACKET",
    "OPUS_VERSION",
    "PRESETS",
    "SAMPLE_RATES",
    "VOICE_HIGH_QUALITY",
    "VOICE_LOW_BANDWIDTH",
    "VOICE_LOW_LATENCY",
    "AdaptiveBitrateController",
    "BitrateDecision",
    "BitrateOptions",
    "Conference",
    "ConferenceCounters",
    "EchoCanceller",
    "EchoConfig",
    "EchoMetrics",
    "EchoPreset",
    "FileDecoder",
    "FileInfo",
    "InputFormat",
    "JitterBuffer",
    "JitterConfig",
    "JitterStats",
    "JitterTag",
    "Level",
    "LevelMeter",
    "LiveOpus",
    "LostPacket",
    "Mixer",
    "NetworkCondition",
    "OggDemuxer",
    "OggWriter",
    "OpusApplication",
    "OpusDecoder",
    "OpusDred",
    "OpusEncoder",
    "OpusEncoderConfig",
    "OpusHead",
    "OpusPacket",
    "OpusPacketInfo",
    "OutputFormat",
    "PcmConverter",
    "Resampler",
    "RoomConfig",
    "SampleDecoder",
    "SoftClip",
    "StreamEvent",
    "StreamGap",
    "StreamHeader",
    "VoiceActivity",
    "VoiceActivityDetector",
    "WebmDemuxer",
    "alaw_decode",
    "alaw_decode_float",
    "alaw_encode",
    "audio_level",
    "audio_level_dbfs",
    "demuxer",
    "measure_level",
    "mulaw_decode",
    "mulaw_decode_float",
    "mulaw_encode",
    "opus_has_fec",
    "opus_output",
    "opus_packet_info",
    "opus_packet_samples",
    "packet_duration",
    "rms_dbfs",
]
