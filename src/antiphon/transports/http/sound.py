"""What can be heard at ``/ws-audio``: files, and voices that speak texts."""

from __future__ import annotations

import asyncio

from aiohttp import web

from antiphon.errors import EngineUnavailable
from antiphon.sessions.media_folder import MediaFolder
from antiphon.sessions.programmes import Programmes


class SoundRoutes:
    """The handlers of ``/v1/media`` and ``/v1/voices``.

    Args:
        folder: Where files are.
        programmes: Who knows the synthesiser.
    """

    def __init__(self, folder: MediaFolder, programmes: Programmes) -> None:
        self._folder = folder
        self._programmes = programmes
        # a folder is walked for one client at a time
        self._turn = asyncio.Lock()

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes, ready for an application."""
        return [web.get("/v1/media", self._media), web.get("/v1/voices", self._voices)]

    async def _media(self, _: web.Request) -> web.Response:
        async with self._turn:
            files = await asyncio.to_thread(self._folder.list)
        return web.json_response({"files": files})

    async def _voices(self, _: web.Request) -> web.Response:
        synthesiser = self._programmes.voice()
        voices = synthesiser.capabilities.voices
        if not voices:
            raise EngineUnavailable(f"the synthesiser {synthesiser.name!r} has no voices")
        return web.json_response(
            {
                "engine": synthesiser.name,
                "defaultVoice": voices[0].id,
                "voices": [
                    {"id": voice.id, "name": voice.name, "language": voice.language}
                    | ({"gender": voice.gender} if voice.gender else {})
                    for voice in voices
                ],
            }
        )
