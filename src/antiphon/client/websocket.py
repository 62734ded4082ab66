"""A connection to the WebSocket door ``/audio-stream``, with RTP framing."""

from __future__ import annotations

import random
from typing import Any

import aiohttp
import orjson
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from yarl import URL

from antiphon.client.address import door
from antiphon.client.buffer import Chunk
from antiphon.client.errors import ProtocolFault
from antiphon.client.link import Ack, Closing, Hello, Joined, Link, LinkLost, Message, Refused
from antiphon.client.wire import entry_from_wire
from antiphon.clock import Clock
from antiphon.errors import Forbidden, Unauthorized, error_from_dict
from antiphon.protocol import rtp

HEARTBEAT = 10.0
"""Seconds between WebSocket pings; a server that does not answer within half of that is gone."""
PAYLOAD_TYPE = 96
"""The first dynamic payload type (RFC 3551 section 6)."""
CLOSE_TIMEOUT = 1.0


class WebSocketLink(Link):
    """One WebSocket.

    Args:
        server: The server's base address.
        session: What opens connections.
        clock: Time.
    """

    def __init__(self, server: URL, session: ClientSession, clock: Clock) -> None:
        self._url = door(server, "audio-stream")
        self._session = session
        self._clock = clock
        self._ssrc = random.getrandbits(32)
        self._websocket: ClientWebSocketResponse | None = None

    async def open(self, hello: Hello) -> Joined:
        try:
            self._websocket = await self._session.ws_connect(
                self._url, heartbeat=HEARTBEAT, timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT)
            )
        except aiohttp.WSServerHandshakeError as refusal:
            raise refused_handshake(refusal.status, str(self._url)) from None
        except (aiohttp.ClientError, OSError) as fault:
            raise LinkLost(str(fault) or type(fault).__name__) from fault
        await self._send_json(_join(hello))
        while True:
            message = await self._receive_json()
            kind = message.get("type")
            if kind == "error":
                raise error_from_dict(message)
            if kind == "joined":
                return _joined(message)

    async def send(self, chunk: Chunk) -> None:
        header = rtp.HEADER.pack(rtp.PLAIN, PAYLOAD_TYPE, chunk.seq & 0xFFFF, chunk.timestamp & 0xFFFFFFFF, self._ssrc)
        try:
            await self._connected.send_bytes(header + chunk.pcm)
        except (aiohttp.ClientError, OSError) as fault:
            raise LinkLost(str(fault) or "the connection broke") from fault

    async def send_finish(self) -> None:
        await self._send_json({"type": "leave"})

    async def receive(self) -> Message:
        while True:
            message = await self._receive_json()
            kind = str(message.get("type"))
            if kind == "ack" and type(message.get("seq")) is int:
                return Ack(message["seq"])
            if kind == "closing":
                return Closing(str(message.get("reason")), message.get("reconnect") is True)
            if kind == "error" and "eventId" not in message:
                return Refused(error_from_dict(message))
            if "eventId" not in message or "userId" in message:
                # what a room tells of others, and what is in no log
                continue
            if (entry := entry_from_wire(kind, message, self._clock.time())) is not None:
                return entry

    async def close(self) -> None:
        if self._websocket is not None:
            await self._websocket.close()

    @property
    def _connected(self) -> ClientWebSocketResponse:
        if self._websocket is None:
            raise LinkLost("there is no connection yet")
        return self._websocket

    async def _send_json(self, message: dict[str, Any]) -> None:
        try:
            await self._connected.send_str(orjson.dumps(message).decode())
        except (aiohttp.ClientError, OSError) as fault:
            raise LinkLost(str(fault) or "the connection broke") from fault

    async def _receive_json(self) -> dict[str, Any]:
        websocket = self._connected
        while True:
            message = await websocket.receive()
            if message.type is WSMsgType.TEXT:
                try:
                    decoded = orjson.loads(message.data)
                except orjson.JSONDecodeError:
                    decoded = None
                if not isinstance(decoded, dict):
                    raise ProtocolFault(f"{self._url} does not speak JSON; is it an Antiphon server?")
                return decoded
            # audio sent back comes in binary frames
            if message.type is not WSMsgType.BINARY:
                code = f", code {websocket.close_code}" if websocket.close_code else ""
                raise LinkLost(f"the connection was closed{code}")


def refused_handshake(status: int, url: str) -> Exception:
    """What an HTTP status other than 101 says of the door."""
    if status == 401:
        return Unauthorized(f"{url} asks for an API key, or does not know this one")
    if status == 403:
        return Forbidden(f"{url} does not let this client in")
    if status == 429 or status >= 500:
        return LinkLost(f"{url} answers with HTTP status {status}")
    return ProtocolFault(f"{url} answers with HTTP status {status}; is it an Antiphon server?")


def _join(hello: Hello) -> dict[str, Any]:
    audio = hello.audio
    join: dict[str, Any] = {
        "type": "join",
        "role": hello.role,
        "framing": "rtp",
        "format": {"codec": audio.encoding.value, "sampleRate": audio.sample_rate, "channels": audio.channels},
        "interimResults": hello.interim_results,
        "sessionId": hello.session_id,
        "language": hello.language,
        "token": hello.api_key,
        "roomId": hello.room,
    }
    if hello.resume is not None:
        join["sessionId"] = hello.resume.session_id
        join["resume"] = {"token": hello.resume.token, "lastEventId": hello.resume.last_event_id}
    return {name: value for name, value in join.items() if value is not None}


def _joined(message: dict[str, Any]) -> Joined:
    try:
        return Joined(
            session_id=str(message["sessionId"]),
            participant_id=str(message["participantId"]),
            resume_token=str(message["resumeToken"]),
            next_seq=int(message["nextSeq"]),
            last_event_id=int(message["lastEventId"]),
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise ProtocolFault(f"the server's 'joined' lacks a field: {fault}") from fault
