"""Asking STUN and TURN servers whether they answer: one question at a time, each with a deadline."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from aioice import stun, turn

from antiphon.security.turn import IceUrl

Address = tuple[str, int]
T = TypeVar("T")

LIFETIME = 60
"""Seconds for which an allocation is asked for, should it not be given back."""
FIRST_RETRY = 0.25
"""Seconds until a packet through a relay is sent again, doubled each time."""


class Refused(Exception):
    """A STUN or TURN server answered, with an error.

    Attributes:
        code: Of RFC 8489 section 14.8 and RFC 8656 section 19.
        reason: In its own words.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Login:
    """What to show to a TURN server."""

    username: str = ""
    credential: str = ""


async def resolve(host: str, port: int, kind: socket.SocketKind) -> Address:
    """The address that is tried: the first that the system gives, IPv4 before IPv6.

    Raises:
        OSError: The name is not known.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=kind)
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    address = found[0][4]
    return str(address[0]), int(address[1])


async def stun_over_udp(server: Address) -> Address:
    """One's own address as a STUN server sees it (RFC 8489); waits until there is an answer.

    Raises:
        Refused: It answered with an error.
        OSError: Its machine says that nobody listens there.
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_StunOverUdp, remote_addr=server)
    try:
        return _mapped(await _watched(protocol.fault, protocol.ask(server)))
    finally:
        transport.close()


async def stun_over_tcp(server: Address, name: str, tls: ssl.SSLContext | None, *, framed: bool) -> Address:
    """The same over a connection; waits until there is an answer.

    Args:
        server: Where it is.
        name: Its name, as its certificate has it.
        tls: What to trust; None for no TLS.
        framed: Whether a length comes before each message, as ICE over TCP has it (RFC 4571, RFC 6544).

    Raises:
        Refused: It answered with an error.
        OSError: It can't be reached.
        ValueError: It answers, and it is not STUN.
    """
    reader, writer = await asyncio.open_connection(*server, ssl=tls, server_hostname=name if tls else None)
    try:
        request = _binding()
        message = bytes(request)
        writer.write(struct.pack("!H", len(message)) * framed + message)
        if framed:
            await reader.readexactly(2)
        head = await reader.readexactly(stun.HEADER_LENGTH)
        if head[4:8] != stun.COOKIE.to_bytes(4):
            raise ValueError("the answer is not STUN")
        answer = stun.parse_message(head + await reader.readexactly(struct.unpack("!H", head[2:4])[0]))
        if answer.transaction_id != request.transaction_id:
            raise ValueError("the answer is to another question")
        return _mapped(answer)
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("the other side closed the connection without an answer") from None
    finally:
        writer.transport.abort()  # everything was said; TLS would wait for a goodbye
        with suppress(OSError):
            await writer.wait_closed()


class Allocation:
    """A relayed address at a TURN server (RFC 8656).

    Attributes:
        relayed: The address that others send to.
        mapped: One's own as the server sees it.
    """

    def __init__(self, protocol: _TurnOverUdp | _TurnOverTcp, relayed: Address) -> None:
        self._protocol = protocol
        self._receiver = _Receiver()
        self.relayed = relayed
        self.mapped: Address = protocol.mapped_address or ("", 0)
        protocol.receiver = self._receiver

    async def permit(self, peer: Address) -> None:
        """Let a peer send to the relayed address, and be sent to.

        Raises:
            Refused: The server does not relay to that address.
        """
        await self._watched(self._protocol.send_data(b"", peer))

    async def round_trip(self, peer: Address) -> Address:
        """The relayed address as a STUN server behind the relay sees it; waits until there is an answer.

        Raises:
            Refused: The server does not relay to that address.
        """
        request = _binding()
        message = bytes(request)
        return _mapped(await self._watched(self._until(message, peer, lambda data: _answer_to(request, data))))

    async def send_to(self, other: Allocation, token: bytes) -> None:
        """Send something from one relayed address to another; waits until it has come.

        Raises:
            Refused: The server does not relay to that address.
        """
        await other.permit(self.relayed)

        def came(data: bytes) -> bool | None:
            return data == token or None

        async def deliver() -> None:
            arrived = asyncio.ensure_future(other._receiver.wait(came))
            try:
                await self._until(token, other.relayed, came, arrived)
            finally:
                arrived.cancel()

        await self._watched(deliver())

    async def _until(
        self, data: bytes, peer: Address, wanted: Callable[[bytes], T | None], there: asyncio.Future[T] | None = None
    ) -> T:
        """Send `data` again and again, ever slower, until what is wanted has come."""
        there = there or asyncio.ensure_future(self._receiver.wait(wanted))
        pause = FIRST_RETRY
        try:
            while not there.done():
                await self._protocol.send_data(data, peer)
                await asyncio.wait([there], timeout=pause)
                pause *= 2
            return there.result()
        finally:
            there.cancel()

    async def _watched(self, work: Awaitable[T]) -> T:
        return await _watched(self._protocol.fault, work)


@asynccontextmanager
async def allocation(
    url: IceUrl, server: Address, login: Login, tls: ssl.SSLContext | None, timeout: float
) -> AsyncIterator[Allocation]:
    """Allocate a relayed address, and give it back in the end.

    Args:
        url: How the server is reached.
        server: Its address.
        login: What to show to it.
        tls: What to trust, where it is reached with TLS.
        timeout: Seconds for allocating, and again for giving back.

    Raises:
        Refused: The server answered with an error.
        OSError: It can't be reached.
        TimeoutError: It does not answer.
    """
    loop = asyncio.get_running_loop()
    known = (server, login.username or None, login.credential or None, LIFETIME, turn.DEFAULT_CHANNEL_REFRESH_TIME)
    transport: asyncio.Transport | asyncio.DatagramTransport | None = None
    protocol: _TurnOverUdp | _TurnOverTcp | None = None
    try:
        async with asyncio.timeout(timeout):
            if url.transport == "udp":
                transport, protocol = await loop.create_datagram_endpoint(
                    lambda: _TurnOverUdp(*known), remote_addr=server
                )
            else:
                transport, protocol = await loop.create_connection(
                    lambda: _TurnOverTcp(*known),
                    *server,
                    ssl=tls if url.transport == "tls" else None,
                    server_hostname=url.host if url.transport == "tls" else None,
                )
            relayed = await _watched(protocol.fault, protocol.connect())
        yield Allocation(protocol, relayed)
    finally:
        if protocol is not None and protocol.relayed_address is not None and not protocol.fault.done():
            with suppress(TimeoutError, stun.TransactionError, OSError):
                async with asyncio.timeout(timeout):
                    await protocol.delete()
        if protocol is not None and protocol.refresh_task is not None:
            protocol.refresh_task.cancel()
        if transport is not None and protocol is not None:
            transport.abort()  # everything was said; TLS would wait for a goodbye
            await asyncio.wait([protocol.gone], timeout=timeout)


class _Faults:
    """Tells of what the library leaves to its time-outs."""

    def __init__(self, *known: Any) -> None:
        super().__init__(*known)
        self.fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def error_received(self, error: Exception) -> None:
        self._fail(error)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)  # type: ignore[misc]  # of the protocol that this is mixed into
        self._fail(error or ConnectionResetError("the other side closed the connection"))
        if not self.gone.done():
            self.gone.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self.fault.done():
            self.fault.set_exception(error)
            self.fault.exception()  # somebody may ask, nobody must


class _TurnOverUdp(_Faults, turn.TurnClientUdpProtocol):
    pass


class _TurnOverTcp(_Faults, turn.TurnClientTcpProtocol):
    pass


class _StunOverUdp(_Faults, asyncio.DatagramProtocol):
    _transport: asyncio.DatagramTransport
    _transaction: stun.Transaction | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    async def ask(self, server: Address) -> stun.Message:
        self._request = _binding()
        self._transaction = stun.Transaction(self._request, server, self)
        return (await self._transaction.run())[0]

    def send_stun(self, message: stun.Message, addr: Address) -> None:
        self._transport.sendto(bytes(message))

    def datagram_received(self, data: bytes, addr: Address) -> None:
        answer = _answer_to(self._request, data)
        if answer is not None and self._transaction is not None:
            self._transaction.response_received(answer, addr)


class _Receiver(asyncio.DatagramProtocol):
    """Takes what comes through a relay, for whoever waits for it; the rest is dropped."""

    def __init__(self) -> None:
        self._offer: Callable[[bytes], None] | None = None

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self._offer is not None:
            self._offer(data)

    async def wait(self, wanted: Callable[[bytes], T | None]) -> T:
        came: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def offer(data: bytes) -> None:
            found = wanted(data)
            if found is not None and not came.done():
                came.set_result(found)

        self._offer = offer
        return await came


def _binding() -> stun.Message:
    return stun.Message(stun.Method.BINDING, stun.Class.REQUEST)


def _answer_to(request: stun.Message, data: bytes) -> stun.Message | None:
    try:
        answer = stun.parse_message(data)
    except (ValueError, struct.error):
        return None
    answers = (stun.Class.RESPONSE, stun.Class.ERROR)
    return answer if answer.transaction_id == request.transaction_id and answer.message_class in answers else None


def _mapped(answer: stun.Message) -> Address:
    if answer.message_class is stun.Class.ERROR:
        raise Refused(*answer.attributes.get("ERROR-CODE", (0, "an error without a code")))
    for name in ("XOR-MAPPED-ADDRESS", "MAPPED-ADDRESS"):
        if name in answer.attributes:
            host, port = answer.attributes[name]
            return str(host), int(port)
    raise Refused(0, "an answer without an address")


async def _watched(fault: asyncio.Future[None], work: Awaitable[T]) -> T:
    """The outcome of `work`, unless the transport fails first.

    Raises:
        Refused: The server answered with an error.
        OSError: The transport failed.
    """
    task = asyncio.ensure_future(work)
    both: list[asyncio.Future[Any]] = [task, fault]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            fault.result()
        return await task
    except stun.TransactionFailed as failed:
        raise Refused(*failed.response.attributes.get("ERROR-CODE", (0, "an error without a code"))) from None
    except stun.TransactionTimeout:
        raise TimeoutError from None
    finally:
        task.cancel()
