"""Types of the native core (crates/python); checked against the binary by stubtest in ``make check``."""

from typing import ClassVar, Final, Self, final, overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

__version__: str

# ---- opus and g711 ---------------------------------------------------------------------------------------------------

# ---- containers ------------------------------------------------------------------------------------------------------

# ---- jitter buffer ---------------------------------------------------------------------------------------------------

# ---- resampler, level, voice activity --------------------------------------------------------------------------------

@final
class Resampler:
    from_rate: Final[int]
    to_rate: Final[int]
    channels: Final[int]
    latency_samples: Final[int]
    def __new__(cls, from_rate: int, to_rate: int, channels: int = 1) -> Self: ...
    @overload
    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]: ...
    @overload
    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]: ...
    def flush(self) -> NDArray[np.float32]: ...
    def flush_int16(self) -> NDArray[np.int16]: ...
    def reset(self) -> None: ...

@final
class PcmConverter:
    latency_samples: Final[int]
    def __new__(cls, from_rate: int, channels: int, to_rate: int) -> Self: ...
    def convert(self, data: Buffer) -> bytes: ...
    def flush(self) -> bytes: ...

@final
class Level:
    rms_dbfs: Final[float]
    peak_dbfs: Final[float]
    clipped: Final[int]
    samples: Final[int]
    @property
    def audio_level(self) -> int: ...

def measure_level(samples: NDArray[np.float32] | NDArray[np.int16] | bytes) -> Level: ...
def audio_level(rms_dbfs: float) -> int: ...
def audio_level_dbfs(level: int) -> float: ...

@final
class LevelMeter:
    def __new__(
        cls, sample_rate: int = 16000, *, attack: float = 0.01, release: float = 0.3, peak_fall: float = 11.76
    ) -> Self: ...
    def push(self, samples: NDArray[np.float32] | NDArray[np.int16]) -> Level: ...
    @property
    def rms_dbfs(self) -> float: ...
    @property
    def peak_dbfs(self) -> float: ...
    @property
    def audio_level(self) -> int: ...
    @property
    def clipped(self) -> int: ...
    def reset(self) -> None: ...

@final
class VoiceActivity:
    probability: Final[float]
    active: Final[bool]

@final
class VoiceActivityDetector:
    FRAME_SECONDS: ClassVar[float]
    sample_rate: Final[int]
    def __new__(
        cls,
        sample_rate: int = 16000,
        *,
        threshold: float = 0.6,
        release_threshold: float = 0.55,
        onset: float = 0.048,
        hangover: float = 0.3,
    ) -> Self: ...
    def push(self, samples: NDArray[np.float32] | NDArray[np.int16]) -> VoiceActivity: ...
    def frames(
        self, samples: NDArray[np.float32] | NDArray[np.int16]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]: ...
    @property
    def active(self) -> bool: ...
    def reset(self) -> None: ...

# ---- echo canceller --------------------------------------------------------------------------------------------------

# ---- mixer -----------------------------------------------------------------------------------------------------------

# ---- bitrate ---------------------------------------------------------------------------------------------------------

@final
class BitrateController:
    def __new__(
        cls,
        *,
        start: int,
        minimum: int,
        maximum: int,
        increase: float,
        decrease: float,
        interval: float,
        margin: float,
        patience: float,
        utilisation: float,
        most_expected_loss: int,
        expected_loss_fall: float,
    ) -> Self: ...
    def update(self, now: float, round_trip: float, loss: float, sent: int | None) -> tuple[str, int, int, bool]: ...
    @property
    def bitrate(self) -> int: ...
    @property
    def condition(self) -> str | None: ...
    @property
    def expected_loss(self) -> int: ...

# ---- rtp -------------------------------------------------------------------------------------------------------------
