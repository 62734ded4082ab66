"""The sides of the comparisons: each a server on its core, and the load that it gets from a generator on another."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from bench import audiobridge, janus
from bench.host import Cores, ProcessTree
from bench.room_load import ENCODER, Voices
from bench.rtc.generator import Generator, Lines, Sender, own_address, program, python

SPEECH, SILENCE = 0, 1
"""Numbers of the sounds that every generator has."""

BATCH = 40
"""Peers that connect at once."""

PAUSE = 0.2
MIXED = 480
"""Participants of mixed rooms that a core of ours is never given more of."""

NOWHERE = ("127.0.0.1", 9)
SENDRECV, RECVONLY, SENDONLY = ["sendrecv"], ["recvonly"], ["sendonly"]


class Side(ABC):
    """A server under load, which grows in units: a session, a pair or a room.

    Attributes:
        name: What tables call it.
        first: Units it is first given, to see what one costs.
        most: Units it is never given more of.
        unit: Participants in a unit.
        tag: Whether its packets come back untouched, so that they can be told apart.
        interval: Milliseconds a packet.
        restless: Whether it works even when nobody sends, so that it must not be there while others are measured.
    """

    first: int = 20
    most: int = 800
    unit: int = 1
    tag = False
    interval = 20
    restless = False

    def __init__(self, name: str, said: Voices) -> None:
        self.name = name
        self.units = 0
        self.generator: Generator
        self.tree: ProcessTree
        self.senders: list[Sender] = []
        self.sounds = [said.speech, (said.silence,)]

    def missing(self) -> str:
        """What keeps the server from running here, and how to get it; empty where nothing does."""
        return ""

    def start(self, stack: ExitStack, cores: Cores) -> None:
        """Start the server and the generator, without peers."""
        self.units = 0
        self.senders = []
        self.tree = self._serve(stack, cores.server)
        self.generator = Generator(cores.load, self._host())
        stack.callback(self.generator.close)
        for sound in self.sounds:
            self.generator.sound(sound)

    def _host(self) -> str:
        return ""

    @abstractmethod
    def _serve(self, stack: ExitStack, core: int) -> ProcessTree: ...

    @abstractmethod
    def _add(self, units: int) -> None:
        """Connect more, and note who of them sends."""

    def grow(self, units: int) -> None:
        """Connect until there are so many units."""
        batch = max(BATCH // self.unit, 1)
        while self.units < units:
            more = min(batch, units - self.units)
            self._add(more)
            self.units += more
        time.sleep(PAUSE)

    @property
    def slots(self) -> int:
        """Participants whose slots a round's cost is shared by; each of them is sent a packet a slot."""
        return self.units * self.unit

    def _speakers(self, first: int, count: int, sound: int = SPEECH) -> None:
        self.senders += [Sender(peer, sound, peer * 37) for peer in range(first, first + count)]


class Antiphon(Side):
    """Our engine in a process of its own: rooms of a few participants, of whom some speak."""

    def __init__(
        self,
        name: str,
        said: Voices,
        *,
        mode: str,
        size: int = 2,
        speaking: int | None = None,
        listeners_only: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Args:
        name: What tables call it.
        said: What is sent.
        mode: Of the rooms, ``relay`` or ``mix``.
        size: Participants of a room.
        speaking: How many of them speak; all, unless told otherwise.
        listeners_only: Whether the others send nothing, instead of silence.
        options: More of ``RtcEngine.open_room``.
        """
        super().__init__(name, said)
        self.unit = size
        self._speaking = size if speaking is None else speaking
        self._mute = listeners_only
        self.tag = mode == "relay"
        self.first, self.most = max(Side.first // size, 1), max(Side.most // size, 1)
        if mode == "mix":
            self.most = max(MIXED // size, 1)
        self._options = {"mode": mode} | (options or {})
        if mode == "mix":
            self._options = {"bitrate": ENCODER.bitrate, "complexity": ENCODER.complexity} | self._options
        self._lines: Lines

    def missing(self) -> str:
        import antiphon._native as native

        return "" if hasattr(native, "RtcEngine") else "this build of the core has no WebRTC engine"

    def _serve(self, stack: ExitStack, core: int) -> ProcessTree:
        self._lines = Lines(python("rtc_antiphon"), core)
        stack.callback(self._lines.close)
        return ProcessTree(self._lines.process.pid)

    def _add(self, units: int) -> None:
        rooms = self._lines.ask({"do": "open", "rooms": units, "options": self._options}, "rooms")
        if not self._mute:
            first = self.generator.peers
            self._join([(room, True, True) for room in rooms for _ in range(self.unit)], SENDRECV)
            for room in range(units):
                self._speakers(first + room * self.unit, self._speaking)
                self._speakers(first + room * self.unit + self._speaking, self.unit - self._speaking, SILENCE)
            return
        for room in rooms:
            self._speakers(self.generator.peers, self._speaking)
            self._join([(room, True, False)] * self._speaking, SENDONLY)
            self._join([(room, False, True)] * (self.unit - self._speaking), RECVONLY)

    def _join(self, members: list[tuple[int, bool, bool]], lines: list[str]) -> None:
        for some in _batches(members):

            def answered(offers: list[str], some: list[tuple[int, bool, bool]] = some) -> list[str]:
                pairs = zip(some, offers, strict=True)
                told = [[room, offer, publish, listen] for (room, publish, listen), offer in pairs]
                answers: list[str] = self._lines.ask({"do": "join", "members": told}, "answers")
                return answers

            self.generator.join(len(some), lines, answered)


def _batches(members: list[tuple[int, bool, bool]]) -> Iterator[list[tuple[int, bool, bool]]]:
    for at in range(0, len(members), BATCH):
        yield members[at : at + BATCH]


class Forwarding(Antiphon):
    """One speaker to many, counted by packets that are sent."""

    first = 1

    def __init__(self, name: str, said: Voices, *, listeners: int) -> None:
        super().__init__(name, said, mode="relay", size=1 + listeners, speaking=1, listeners_only=True)
        self.most = 8

    @property
    def slots(self) -> int:
        return self.units * (self.unit - self._speaking)


class Aiortc(Side):
    """aiortc, echoing through its decoder and encoder."""

    first = 3
    most = 60

    def __init__(self, name: str, said: Voices, *, tuned: bool) -> None:
        super().__init__(name, said)
        settings = {"bitrate": ENCODER.bitrate, "complexity": ENCODER.complexity}
        self._arguments = [json.dumps(settings)] if tuned else []
        self._lines: Lines

    def _serve(self, stack: ExitStack, core: int) -> ProcessTree:
        self._lines = Lines(python("rtc_aiortc", *self._arguments), core)
        stack.callback(self._lines.close)
        return ProcessTree(self._lines.process.pid)

    def _add(self, units: int) -> None:
        self._speakers(self.generator.peers, units)
        self.generator.join(units, SENDRECV, self._answered)

    def _answered(self, offers: list[str]) -> list[str]:
        answers: list[str] = self._lines.ask({"do": "join", "offers": offers}, "answers")
        return answers


class EchoTest(Side):
    """Janus' EchoTest: one packet in and the same one out."""

    tag = True

    def __init__(self, name: str, said: Voices, *, event_loops: int = 0) -> None:
        super().__init__(name, said)
        self._event_loops = event_loops
        self._janus: janus.Janus

    def missing(self) -> str:
        if not own_address():
            return "Janus uses no loopback interface for WebRTC, and this machine has no other address"
        return janus.missing("echotest")

    def _host(self) -> str:
        return own_address()

    def _serve(self, stack: ExitStack, core: int) -> ProcessTree:
        self._janus = stack.enter_context(janus.started(core, "echotest", event_loops=self._event_loops))
        return self._janus.tree

    def _add(self, units: int) -> None:
        self._speakers(self.generator.peers, units)
        self.generator.join(units, SENDRECV, self._answered)

    def _answered(self, offers: list[str]) -> list[str]:
        answers: dict[int, str] = {}
        handles = []
        for offer in offers:
            handles.append(handle := self._janus.attach())
            self._janus.message(handle, {"audio": True, "video": False}, {"type": "offer", "sdp": offer})
        while len(answers) < len(handles):
            event = self._janus.event()
            if "error" in event.get("plugindata", {}).get("data", {}):
                raise janus.JanusError(str(event))
            if "jsep" in event:
                answers[event["sender"]] = event["jsep"]["sdp"]
        return [answers[handle] for handle in handles]


class Bridge(Side):
    """Janus' AudioBridge with participants over plain RTP; it mixes and encodes for them whether they send or not."""

    restless = True
    first = 1
    most = 4

    def __init__(
        self, name: str, said: Voices, *, size: int, speaking: int, settings: audiobridge.Settings | None = None
    ) -> None:
        super().__init__(name, said)
        self.unit = size
        self._speaking = speaking
        self._settings = settings or audiobridge.Settings()
        self._stack: ExitStack
        self._bridge: audiobridge.Bridge

    def missing(self) -> str:
        return audiobridge.missing()

    def _serve(self, stack: ExitStack, core: int) -> ProcessTree:
        self._bridge = stack.enter_context(audiobridge.started(core))
        self._stack = stack
        return self._bridge.tree

    def _add(self, units: int) -> None:
        for _ in range(units):
            first = self.generator.peers
            listening = self.generator.where(self.unit)
            servers = self._stack.enter_context(self._bridge.room(listening, self._settings))
            self.generator.join_plain(servers)
            self._speakers(first, self._speaking)
            self._speakers(first + self._speaking, self.unit - self._speaking, SILENCE)


class Floor(Side):
    """Nothing but sending UDP: packets of the size that listeners get, from one socket, in the same bursts."""

    first = 1
    most = 8
    overhead = 12 + 8 + 16
    """Bytes beside the payload: RTP's header, its extensions, and the tag of AES-GCM."""

    def __init__(self, name: str, said: Voices, *, size: int, batch: int) -> None:
        """Args:
        name: What tables call it.
        said: What the sizes of packets are taken from.
        size: Packets of a burst.
        batch: Packets that a system call moves.
        """
        super().__init__(name, said)
        self.unit = size
        self._size = sum(len(packet.payload) for packet in said.speech) // len(said.speech) + self.overhead
        self._batch = batch
        self._listening: list[str] = []
        self._lines: Lines | None = None
        self._core = 0
        self._stack: ExitStack

    def _serve(self, stack: ExitStack, core: int) -> ProcessTree:
        self._core, self._stack = core, stack
        return ProcessTree(0)

    def _add(self, units: int) -> None:
        self._listening += [f"{host}:{port}" for host, port in self.generator.where(units * self.unit)]
        self.generator.join_plain([NOWHERE] * (units * self.unit))
        if self._lines is not None:
            self._lines.close()
        told = (self.units + units, self._size, self._batch)
        self._lines = Lines([program(), "floor", *map(str, told), *self._listening], self._core)
        self._stack.callback(self._lines.close)
        self.tree = ProcessTree(self._lines.process.pid)
        self._lines.say({})
