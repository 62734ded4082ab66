"""The decoder processes: a parent that loads the model once, and a child for each decoder that is wanted.

Run as ``python -m antiphon.speech.engines.pocketsphinx.worker FD`` with a control socket as file descriptor FD. A
child is a fork of the loaded parent: it is ready within milliseconds and shares the model's pages with its siblings.
The parent stays single-threaded, which is what makes forking it safe.

Cepstral mean normalisation decides how well PocketSphinx hears. While the speaker's mean is unknown, an utterance that
was decoded live is decoded once more with its own mean; from then on the mean goes along with the stream
(``bench/accuracy.py`` shows what that is worth).
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from pocketsphinx import Decoder

from antiphon.speech.engines.pocketsphinx import wire
from antiphon.speech.processes import let_media_go_first

SAMPLE_RATE = 16_000
FRAMES_PER_SECOND = 100
SECOND_PASS_MAX_BYTES = 2 * SAMPLE_RATE * 15


class _Guess:
    """A final worked out by a fork of this process, while this one can still hear more.

    Args:
        finish: Gives the final; called in the fork.
    """

    def __init__(self, finish: Callable[[], dict[str, Any]]) -> None:
        self._pipe, pipe = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                with os.fdopen(pipe, "wb") as file:
                    file.write(json.dumps(finish()).encode())
            finally:
                # never run the exit handlers of the process that this is a fork of
                os._exit(0)
        os.close(pipe)

    def result(self) -> dict[str, Any] | None:
        """The final; None where the fork came to nothing."""
        with os.fdopen(self._pipe, "rb") as file:
            written = file.read()
        os.waitpid(self._pid, 0)
        try:
            final: dict[str, Any] = json.loads(written)
        except ValueError:
            return None
        return final

    def drop(self) -> None:
        """Somebody speaks again."""
        os.close(self._pipe)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


class DecoderSession:
    """Serves one server connection with one decoder."""

    def __init__(self, sock: socket.socket, decoder: Any) -> None:
        self._sock = sock
        self._decoder = decoder
        self._initial_cmn: str = decoder.get_cmn(False)
        self._audio = bytearray()
        self._samples = 0
        self._adapted = False
        self._running = False
        self._guess: _Guess | None = None

    def serve(self) -> None:
        """Answer frames until the server closes the connection."""
        while (head := self._read(wire.HEADER.size)) is not None:
            kind, size = wire.HEADER.unpack(head)
            if size > wire.MAX_PAYLOAD:
                return
            payload = self._read(size) if size else b""
            if payload is None:
                return
            try:
                self._handle(kind, payload)
            except RuntimeError as fault:
                self._send(wire.FAULT, {"message": str(fault)})
                return

    def _handle(self, kind: bytes, payload: bytes) -> None:
        if kind == wire.BEGIN:
            self._begin(json.loads(payload)["cmn"])
        elif kind == wire.AUDIO:
            self._drop_guess()
            self._hear(payload)
        elif kind == wire.PAUSE:
            self._drop_guess()
            self._guess = _Guess(self._finish)
        elif kind == wire.END:
            self._end()
        elif kind == wire.ABORT:
            self._abort()

    def _begin(self, cmn: str | None) -> None:
        self._abort()
        self._decoder.set_cmn(cmn or self._initial_cmn)
        self._adapted = cmn is not None
        self._audio.clear()
        self._samples = 0
        self._decoder.start_utt()
        self._running = True

    def _end(self) -> None:
        guess, self._guess = self._guess, None
        final = guess.result() if guess else None
        if final is None:
            final = self._finish()
        self._send(wire.FINAL, final)
        self._abort()

    def _drop_guess(self) -> None:
        guess, self._guess = self._guess, None
        if guess is not None:
            guess.drop()

    def _abort(self) -> None:
        self._drop_guess()
        if self._running:
            self._decoder.end_utt()
            self._running = False

    def _hear(self, pcm: bytes) -> None:
        if not self._adapted and len(self._audio) < SECOND_PASS_MAX_BYTES:
            self._audio += pcm
        self._samples += len(pcm) // 2
        self._decoder.process_raw(pcm)
        hypothesis = self._decoder.hyp()
        self._send(wire.PROGRESS, {"samples": self._samples, "text": hypothesis and hypothesis.hypstr})

    def _finish(self) -> dict[str, Any]:
        decoder = self._decoder
        decoder.end_utt()
        self._running = False
        # after a live pass the running mean has to be asked for; a whole pass leaves the utterance's own
        mean = decoder.get_cmn(True)
        if not self._adapted and 0 < len(self._audio) == 2 * self._samples:
            decoder.start_utt()
            decoder.process_raw(bytes(self._audio), full_utt=True)
            decoder.end_utt()
            mean = decoder.get_cmn(False)
        self._audio.clear()
        best = decoder.hyp()
        words: list[tuple[str, float, float, float]] = []
        for segment in decoder.seg() or ():
            word = segment.word.partition("(")[0]
            if word and word[0] not in "<[+":
                words.append(
                    (
                        word,
                        segment.start_frame / FRAMES_PER_SECOND,
                        (segment.end_frame + 1) / FRAMES_PER_SECOND,
                        round(min(1.0, max(0.0, segment.prob)), 3),
                    )
                )
        heard = best.hypstr if best else ""
        return {"text": heard, "words": words, "cmn": mean if heard else None}

    def _read(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self._sock.recv(size - len(parts))
            except OSError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)

    def _send(self, kind: bytes, message: dict[str, Any]) -> None:
        try:
            self._sock.sendall(wire.frame(kind, json.dumps(message).encode()))
        except OSError:
            # the server is gone; the next read says so and ends the process
            return


def make_decoder() -> Any:
    """A decoder with the packaged model, silent on standard error."""
    return Decoder(samprate=float(SAMPLE_RATE), loglevel="FATAL")


class Parent:
    """Forks a child for each SPAWN, kills on KILL, and takes all of them along when the server goes."""

    def __init__(self, control: socket.socket, decoder: Any) -> None:
        self._control = control
        self._decoder = decoder
        self._children: set[int] = set()

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        self._control.sendall(wire.CONTROL.pack(wire.SPAWN, 0))
        watched = [self._control.fileno(), wake_read]
        while True:
            ready, _, _ = select.select(watched, [], [])
            if wake_read in ready:
                os.read(wake_read, 4096)
            self._reap()
            if watched[0] in ready and not self._obey(wake_read, wake_write):
                break
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _obey(self, *fds_of_parent: int) -> bool:
        message, fds, _, _ = socket.recv_fds(self._control, wire.CONTROL.size, 1)
        if len(message) < wire.CONTROL.size:
            return False
        kind, pid = wire.CONTROL.unpack(message)
        if kind == wire.KILL and pid in self._children:
            os.kill(pid, signal.SIGKILL)
        elif kind == wire.SPAWN and fds:
            child = os.fork()
            if child == 0:
                self._child(fds[0], fds_of_parent)
            os.close(fds[0])
            self._children.add(child)
            self._control.sendall(wire.CONTROL.pack(wire.SPAWN, child))
        return True

    def _child(self, fd: int, fds_of_parent: tuple[int, ...]) -> None:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for other in fds_of_parent:
                os.close(other)
            self._control.close()
            with socket.socket(fileno=fd) as sock:
                DecoderSession(sock, self._decoder).serve()
        finally:
            # never run the parent's exit handlers in a fork of it
            os._exit(0)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._children.clear()
                return
            if pid == 0:
                return
            self._children.discard(pid)


def main() -> None:
    let_media_go_first()
    control = socket.socket(fileno=int(sys.argv[1]))
    # a terminal's Ctrl-C reaches the whole group; the server decides when decoders end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    decoder = make_decoder()
    gc.collect()
    gc.freeze()
    Parent(control, decoder).run()


if __name__ == "__main__":
    main()
