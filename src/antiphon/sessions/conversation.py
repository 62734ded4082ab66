"""Texts that come one after another, spoken to one listener."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from antiphon.errors import AntiphonError, Internal, RateLimited
from antiphon.protocol.audio_out import SoundFormat, Speech
from antiphon.sessions.packets import Packets
from antiphon.sessions.sources import Output, Source
from antiphon.speech.synthesiser import SpeechRequest, Synthesiser
from antiphon.telemetry.logs import get_logger

log = get_logger("conversation")

MAX_TEXTS = 16
"""Texts of one listener that are spoken or wait for that."""


@dataclass(eq=False)
class _Text:
    """One text.

    Attributes:
        id: Counts from 1.
        start: Number of its first packet, once `begun`.
        end: Number of the packet after its last, once `made`.
        told: The listener knows that it is being said.
    """

    id: int
    request: SpeechRequest
    start: int = 0
    end: int = 0
    told: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    made: asyncio.Event = field(default_factory=asyncio.Event)


class Conversation(Source):
    """Says what it is given, in order, and tells when each text is heard and has been heard.

    Args:
        synthesiser: Who speaks.
        sound: How packets are made.
        tell: Brings the listener a message.
        position: The packet that the listener hears next.
    """

    def __init__(
        self,
        synthesiser: Synthesiser,
        sound: SoundFormat,
        tell: Callable[[dict[str, Any]], object],
        position: Callable[[], int],
    ) -> None:
        self._synthesiser = synthesiser
        self._sound = sound
        self._config = sound.encoder_config(Speech(""))
        self._bitrate = sound.bitrate
        self._tell = tell
        self._position = position
        self._queue: asyncio.Queue[_Text] = asyncio.Queue(MAX_TEXTS)
        self._texts: deque[_Text] = deque()
        self._count = 0
        self._made = 0
        self._packets: Packets | None = None
        self._packets_rate = 0
        self._speaking: asyncio.Task[None] | None = None
        self._teller: asyncio.Task[None] | None = None

    def say(self, request: SpeechRequest) -> int:
        """Say a text after those before it; the number that it is told by.

        Raises:
            RateLimited: Too many wait.
        """
        if len(self._texts) >= MAX_TEXTS:
            raise RateLimited(
                f"{MAX_TEXTS} texts are being said or wait for it; send this one again after the next 'said', or send "
                "'clear'",
                retry_after=1.0,
            )
        self._count += 1
        text = _Text(self._count, request)
        self._texts.append(text)
        self._queue.put_nowait(text)
        if self._teller is None:
            self._teller = asyncio.create_task(self._tell_all(), name="conversation")
        return text.id

    def clear(self) -> None:
        """Say no more of what was asked for until now. What was made of it is to be skipped by the listener."""
        while not self._queue.empty():
            self._queue.get_nowait()
        if self._speaking is not None:
            self._speaking.cancel()
        if self._teller is not None:
            self._teller.cancel()
            self._teller = None
        self._packets = None
        while self._texts:
            self._tell({"type": "said", "id": self._texts.popleft().id, "cleared": True})

    def set_bitrate(self, bitrate: int) -> None:
        """From the next packet on, in bits a second."""
        self._bitrate = bitrate
        if self._packets is not None:
            self._packets.set_bitrate(bitrate)

    async def play(self, output: Output) -> None:
        while True:
            text = await self._queue.get()
            self._speaking = asyncio.create_task(self._speak(text, output), name=f"text {text.id}")
            # cancelled by clear(), and then the next one has its turn
            await asyncio.wait([self._speaking])
            self._speaking = None

    async def close(self) -> None:
        for task in (self._speaking, self._teller):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    async def _speak(self, text: _Text, output: Output) -> None:
        text.start = text.end = self._made
        try:
            async with aclosing(self._synthesiser.synthesise(text.request)) as audio:
                async for piece in audio:
                    await self._append(text, self._encoder(piece.sample_rate).push(piece.pcm), output)
            if self._packets is not None:
                await self._append(text, self._packets.flush(), output)
        except AntiphonError as error:
            self._failed(text, error)
        except Exception:
            # a bug must not end the conversation
            log.exception("a text failed")
            self._failed(text, Internal("the server failed on this text; its log says more"))
        finally:
            text.begun.set()
            text.made.set()

    async def _append(self, text: _Text, packets: list[bytes], output: Output) -> None:
        if not packets:
            return
        await output.wanted()
        if not text.told and self._texts and self._texts[0] is text and self._position() >= text.start:
            self._saying(text)
        output.append(packets)
        self._made += len(packets)
        text.end = self._made
        text.begun.set()

    def _encoder(self, source_rate: int) -> Packets:
        if self._packets is None or source_rate != self._packets_rate:
            self._packets, self._packets_rate = Packets(self._config, source_rate), source_rate
            self._packets.set_bitrate(self._bitrate)
        return self._packets

    def _failed(self, text: _Text, error: AntiphonError) -> None:
        self._tell({"type": "error", **error.as_dict(), "id": text.id})
        with contextlib.suppress(ValueError):
            self._texts.remove(text)

    def _saying(self, text: _Text) -> None:
        text.told = True
        self._tell({"type": "saying", "id": text.id, "text": text.request.text})

    async def _tell_all(self) -> None:
        """Tell of each text when its time has come, which the listener's place says."""
        while self._texts:
            text = self._texts[0]
            await text.begun.wait()
            await self._until(text.start)
            if text not in self._texts:
                continue
            if not text.told:
                self._saying(text)
            await text.made.wait()
            await self._until(text.end)
            if text in self._texts:
                self._texts.remove(text)
                self._tell({"type": "said", "id": text.id})
        self._teller = None

    async def _until(self, packet: int) -> None:
        behind = packet - self._position()
        while behind > 0:
            await asyncio.sleep(behind * self._sound.frame_ms / 1000)
            behind = packet - self._position()
