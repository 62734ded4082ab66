"""Rooms over plain RTP: what ``antiphon.media.mixer.Conference`` costs with sockets around it.

Run as ``python -m bench.room_server ROOMS PARTICIPANTS``; prints the port that it listens on. One UDP socket, packets
told apart by SSRC (1000 times the room, plus the participant), answered to where they came from; levels are taken from
header extension 1 (RFC 6464). No jitter buffer: what came since the last tick is mixed.
"""

from __future__ import annotations

import argparse
import socket
import struct
import time
from dataclasses import dataclass, field

from antiphon.media.mixer import Conference, opus_output
from bench.room_load import ENCODER, FRAME, LEVEL_EXTENSION, PAYLOAD_TYPE, TICK

HEADER = struct.Struct("!BBHII")
Packet = bytes | tuple[bytes, int]


@dataclass(slots=True)
class Room:
    """A conference and where its participants are."""

    conference: Conference
    addresses: dict[int, tuple[str, int]] = field(default_factory=dict)
    arrived: dict[int, Packet] = field(default_factory=dict)


def parse(data: bytes) -> tuple[int, Packet]:
    """SSRC, and the payload with its level where there is one (RFC 3550, RFC 8285)."""
    first, _, _, _, ssrc = HEADER.unpack_from(data)
    start = 12 + 4 * (first & 0x0F)
    if not first & 0x10:
        return ssrc, data[start:]
    words = int.from_bytes(data[start + 2 : start + 4], "big")
    payload = data[start + 4 + 4 * words :]
    if words and data[start + 4] >> 4 == LEVEL_EXTENSION:
        return ssrc, (payload, data[start + 5] & 0x7F)
    return ssrc, payload


def serve(rooms: int, participants: int) -> None:
    """Serve until the process is ended."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        server.setsockopt(socket.SOL_SOCKET, option, 1 << 22)
    served = [Room(Conference()) for _ in range(rooms)]
    for room in served:
        for participant in range(participants):
            room.conference.add(participant, "opus", opus_output(ENCODER))
    print(server.getsockname()[1], flush=True)
    start = time.monotonic()
    tick = 0
    while True:
        # Rooms take turns within a tick, so that not all of them send at once.
        for number, room in enumerate(served):
            due = start + (tick + number / rooms) * TICK
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)
            receive(server, served)
            arrived, room.arrived = room.arrived, {}
            if room.addresses:
                send(server, room, arrived, tick)
        tick += 1


def receive(server: socket.socket, rooms: list[Room]) -> None:
    """Take all that has come."""
    while True:
        try:
            data, address = server.recvfrom(2048)
        except BlockingIOError:
            return
        ssrc, packet = parse(data)
        number, participant = divmod(ssrc, 1000)
        room = rooms[number]
        room.addresses[participant] = address
        room.arrived[participant] = packet


def send(server: socket.socket, room: Room, arrived: dict[int, Packet], tick: int) -> None:
    """Mix, and send everybody what they hear."""
    sequence, timestamp = tick & 0xFFFF, tick * FRAME & 0xFFFFFFFF
    for participant, payload in room.conference.tick(arrived).items():
        if (address := room.addresses.get(participant)) is not None:
            head = HEADER.pack(0x80, PAYLOAD_TYPE, sequence, timestamp, participant)
            server.sendto(head + payload, address)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", type=int)
    parser.add_argument("participants", type=int)
    arguments = parser.parse_args()
    serve(arguments.rooms, arguments.participants)
