"""eSpeak NG's C interface (``speak_lib.h``), as far as a worker uses it."""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import espeakng_loader

CHUNK_MS = 60
"""How much the library says at a time, in milliseconds."""

OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
POSITION_CHARACTER = 1
CHARS_UTF8 = 1
END_PAUSE = 0x1000
RATE, VOLUME, PITCH = 1, 2, 3
NORMAL_RATE = 175
"""Words a minute."""
EVENT_LIST_TERMINATED, EVENT_WORD = 0, 1

Word = tuple[int, int, int]
"""First character (counted from 0), characters, first sample."""


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """The library, loaded. There is one in a process, since all its state is global.

    Raises:
        OSError: It cannot be loaded, or has no data.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        # the library holds paths of up to 160 bytes, so that the folder has to be a short one
        os.chdir(Path(espeakng_loader.get_data_path()).parent)
        self.sample_rate: int = self._library.espeak_Initialize(
            OUTPUT_SYNCHRONOUS, CHUNK_MS, b".", INITIALIZE_DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise OSError("eSpeak NG finds no data in its package")
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self._library.espeak_Synth.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        self._take: Callable[[bytes, list[Word]], bool] = lambda pcm, words: False
        # kept, for the library has a bare pointer to it
        self._callback = _Callback(self._called)
        self._library.espeak_SetSynthCallback(self._callback)

    def voices(self) -> Iterator[tuple[str, str, list[tuple[int, str]]]]:
        """Identifier, name, and languages with their priorities (small ones fit best) of each voice."""
        for entry in itertools.takewhile(bool, self._library.espeak_ListVoices(None)):
            voice = entry.contents
            yield voice.identifier.decode(), voice.name.decode().strip(), list(_languages(voice.languages))

    def say(self, text: str, voice: str, rate: float, pause: bool, take: Callable[[bytes, list[Word]], bool]) -> None:
        """Say a text; returns when it is over.

        Args:
            text: Read as it stands, markup and phonemes too.
            voice: An identifier, and a variant after a ``+`` where one is wanted.
            rate: A factor of the normal rate.
            pause: End with the pause that is between two sentences.
            take: Gets the audio, and the words that begin in it; False stops.

        Raises:
            ValueError: The library refuses voice or text.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"eSpeak NG has no voice {voice!r}")
        self._library.espeak_SetParameter(RATE, round(NORMAL_RATE * rate), 0)
        self._take = take
        data = text.encode()
        flags = CHARS_UTF8 | (END_PAUSE if pause else 0)
        if code := self._library.espeak_Synth(data, len(data) + 1, 0, POSITION_CHARACTER, 0, flags, None, None):
            raise ValueError(f"eSpeak NG cannot say this text (its error {code})")

    def _called(self, samples: int | None, count: int, events: ctypes._Pointer[_Event]) -> int:
        """1 where the library is to stop."""
        words = []
        for event in map(events.__getitem__, itertools.count()):
            if event.type == EVENT_LIST_TERMINATED:
                break
            if event.type == EVENT_WORD:
                words.append((max(0, event.text_position - 1), event.length, event.sample))
        pcm = ctypes.string_at(samples, 2 * count) if samples and count > 0 else b""
        return 0 if self._take(pcm, words) else 1


def _languages(pointer: int) -> Iterator[tuple[int, str]]:
    """A byte of priority and a terminated name, again and again, up to a priority of 0."""
    while priority := ctypes.string_at(pointer, 1)[0]:
        name = ctypes.string_at(pointer + 1)
        yield priority, name.decode()
        pointer += len(name) + 2
