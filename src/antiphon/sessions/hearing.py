"""Hearing whole files: decoded off the event loop, by processes of their own, and brought to a transcriber."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from antiphon.media import FileDecoder
from antiphon.speech.transcriber import Transcriber

READ_AHEAD_S = 5.0
"""Seconds of speech that may wait for a decoder before more of the file is read."""


class FileHearing:
    """Has files heard, a few at a time.

    Args:
        at_once: Files.
        sample_rate: Hertz of what transcribers take.

    Attributes:
        turn: To be held while :meth:`hear` runs.
    """

    def __init__(self, at_once: int, sample_rate: int) -> None:
        self.turn = asyncio.Semaphore(at_once)
        self._sample_rate = sample_rate
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="antiphon-decode")

    async def hear(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        transcriber: Transcriber,
        max_seconds: float,
        progress: Callable[[float, float | None], None],
    ) -> None:
        """Bring a file to a transcriber, as fast as that goes; its last final is emitted when this returns.

        Args:
            source: As :class:`FileDecoder` takes it.
            transcriber: Takes the audio.
            max_seconds: The longest audio taken.
            progress: Told the seconds that were brought, and those in the file where it says, at first and whenever
                there are more.

        Raises:
            AntiphonError: As :class:`FileDecoder`; what came before the fault was pushed.
        """
        loop = asyncio.get_running_loop()
        decoder = FileDecoder(source, sample_rate=self._sample_rate, max_seconds=max_seconds)
        try:
            await loop.run_in_executor(self._threads, decoder.__enter__)
            total = decoder.info.duration
            progress(0.0, total)
            blocks = iter(decoder)
            while (block := await loop.run_in_executor(self._threads, next, blocks, None)) is not None:
                await transcriber.ready(READ_AHEAD_S)
                transcriber.push(block)
                progress(transcriber.position, total)
            await transcriber.finish()
        finally:
            # not in the pool, whose thread may wait for the very file that this ends
            await asyncio.shield(asyncio.to_thread(decoder.close))

    def close(self) -> None:
        """Begin no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
