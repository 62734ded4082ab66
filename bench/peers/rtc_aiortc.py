"""aiortc that sends everybody their own sound, decoded and encoded again: offers come as JSON lines.

``{"do": "join", "offers": [...]}`` is answered by ``{"answers": [...]}``. Ends with its input. With an argument, the
encoder's settings as JSON (``bitrate``, ``complexity``) in mono, instead of aiortc's own: stereo at 96 kb/s.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aioice.ice
import aiortc.codecs.opus
import uvloop
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from av import AudioResampler, CodecContext


def _loopback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    return ["127.0.0.1"]


def tune(bitrate: int, complexity: int) -> None:
    """Have aiortc encode in mono with these settings."""

    def made(self: Any) -> None:
        codec = CodecContext.create("libopus", "w")
        codec.bit_rate = bitrate
        codec.format = "s16"
        codec.layout = "mono"
        codec.options = {"application": "voip", "compression_level": str(complexity), "vbr": "constrained"}
        codec.sample_rate = aiortc.codecs.opus.SAMPLE_RATE
        codec.time_base = aiortc.codecs.opus.TIME_BASE
        self.codec = codec
        size = aiortc.codecs.opus.SAMPLES_PER_FRAME
        self.resampler = AudioResampler(format="s16", layout="mono", rate=codec.sample_rate, frame_size=size)
        self.first_packet_pts = None

    aiortc.codecs.opus.OpusEncoder.__init__ = made  # type: ignore[method-assign]


async def answer(offer: str, peers: list[RTCPeerConnection]) -> str:
    """Answer an offer by a peer that echoes."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peers.append(peer)

    @peer.on("track")
    def echo(track: MediaStreamTrack) -> None:
        peer.addTrack(track)

    await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await peer.setLocalDescription(await peer.createAnswer())
    return str(peer.localDescription.sdp)


async def main() -> None:
    aioice.ice.get_host_addresses = _loopback
    if len(sys.argv) > 1:
        tune(**json.loads(sys.argv[1]))
    peers: list[RTCPeerConnection] = []
    reader = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        answers = [await answer(offer, peers) for offer in json.loads(line)["offers"]]
        print(json.dumps({"answers": answers}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
