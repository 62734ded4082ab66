"""The cancellers that ``bench.echo`` compares, each as a function from far end and microphone to what is sent on."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from antiphon.media.echo import EchoCanceller, EchoConfig, EchoPreset

Pcm = NDArray[np.int16]
Canceller = Callable[[Pcm, Pcm, int], Pcm]

# speex_echo.h and speex_preprocess.h
SPEEX_ECHO_SET_SAMPLING_RATE = 24
SPEEX_PREPROCESS_SET_DENOISE = 0
SPEEX_PREPROCESS_SET_ECHO_STATE = 24
SPEEX_TAIL_MS = 500


def contenders(rate: int, speexdsp: str | None = None) -> tuple[dict[str, Canceller], list[str]]:
    """Those that are installed and do ``rate``, and what to say of the others."""
    systems: dict[str, Canceller] = {
        "antiphon": partial(antiphon, "partitioned"),
        "antiphon nlms": partial(antiphon, "nlms"),
    }
    notes: list[str] = []
    systems["none"] = lambda far, microphone, rate: microphone
    if importlib.util.find_spec("livekit"):
        systems["AEC3/livekit"] = livekit
    else:
        notes.append("SKIPPED AEC3/livekit: pip install livekit")
    if importlib.util.find_spec("aec_audio_processing"):
        systems["AEC3/aec-audio"] = aec_audio_processing
    else:
        notes.append("SKIPPED AEC3/aec-audio: pip install aec-audio-processing")
    library = speexdsp or ctypes.util.find_library("speexdsp")
    if library:
        systems["speexdsp"] = partial(speex, ctypes.CDLL(library))
    else:
        notes.append("SKIPPED speexdsp: on Debian: apt-get install libspeexdsp1")
    return systems, notes


def antiphon(mode: EchoPreset, far: Pcm, microphone: Pcm, rate: int) -> Pcm:
    """Ours, by the name of its preset."""
    return EchoCanceller(EchoConfig(sample_rate=rate, mode=mode)).process(far, microphone)


def livekit(far: Pcm, microphone: Pcm, rate: int) -> Pcm:
    """WebRTC's audio processing module with nothing but the echo canceller switched on."""
    from livekit.rtc import AudioFrame
    from livekit.rtc.apm import AudioProcessingModule

    module = AudioProcessingModule(echo_cancellation=True)
    step = rate // 100
    out = microphone.copy()
    for at in range(0, len(far) - step + 1, step):
        render = AudioFrame(bytearray(far[at : at + step].tobytes()), rate, 1, step)
        module.process_reverse_stream(render)
        capture = AudioFrame(bytearray(microphone[at : at + step].tobytes()), rate, 1, step)
        module.process_stream(capture)
        out[at : at + step] = np.frombuffer(capture.data, np.int16)
    return out


def aec_audio_processing(far: Pcm, microphone: Pcm, rate: int) -> Pcm:
    """The same module as freedesktop.org's webrtc-audio-processing packages it."""
    from aec_audio_processing import AudioProcessor

    module = AudioProcessor(enable_aec=True, enable_ns=False, enable_agc=False, enable_vad=False)
    module.set_stream_format(rate, 1)
    module.set_reverse_stream_format(rate, 1)
    module.set_stream_delay(0)
    step = rate // 100
    out = microphone.copy()
    for at in range(0, len(far) - step + 1, step):
        module.process_reverse_stream(far[at : at + step].tobytes())
        out[at : at + step] = np.frombuffer(module.process_stream(microphone[at : at + step].tobytes()), np.int16)
    return out


def speex(library: ctypes.CDLL, far: Pcm, microphone: Pcm, rate: int) -> Pcm:
    """The adaptive filter over a tail that covers every delay here, and the residual suppressor after it."""
    library.speex_echo_state_init.restype = ctypes.c_void_p
    library.speex_preprocess_state_init.restype = ctypes.c_void_p
    step = rate // 100
    echo = ctypes.c_void_p(library.speex_echo_state_init(step, rate * SPEEX_TAIL_MS // 1000))
    after = ctypes.c_void_p(library.speex_preprocess_state_init(step, rate))
    library.speex_echo_ctl(echo, SPEEX_ECHO_SET_SAMPLING_RATE, ctypes.byref(ctypes.c_int(rate)))
    library.speex_preprocess_ctl(after, SPEEX_PREPROCESS_SET_DENOISE, ctypes.byref(ctypes.c_int(0)))
    library.speex_preprocess_ctl(after, SPEEX_PREPROCESS_SET_ECHO_STATE, echo)
    far, microphone, out = (np.ascontiguousarray(signal) for signal in (far, microphone, np.zeros_like(microphone)))
    for at in range(0, len(far) - step + 1, step):
        here = ctypes.c_void_p(out.ctypes.data + 2 * at)
        library.speex_echo_cancellation(
            echo, ctypes.c_void_p(microphone.ctypes.data + 2 * at), ctypes.c_void_p(far.ctypes.data + 2 * at), here
        )
        library.speex_preprocess_run(after, here)
    library.speex_echo_state_destroy(echo)
    library.speex_preprocess_state_destroy(after)
    return out
