"""Audio in: live PCM and whole files become mono 16-bit PCM at one sample rate."""

from antiphon.media.files import FileDecoder
from antiphon.media.live import LiveOpus, SampleDecoder
from antiphon.media.pcm import PcmConverter, rms_dbfs
from antiphon.media.wire import FileInfo

__all__ = ["FileDecoder", "FileInfo", "LiveOpus", "PcmConverter", "SampleDecoder", "rms_dbfs"]
