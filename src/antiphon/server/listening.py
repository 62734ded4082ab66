"""Puts together what streams audio out: the broadcaster, its programmes, the synthesiser and the door ``/ws-audio``."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from antiphon.clock import Clock
from antiphon.errors import EngineUnavailable
from antiphon.media.broadcast import Broadcaster
from antiphon.security.access import Access
from antiphon.server.config import Settings
from antiphon.sessions.media_folder import MediaFolder
from antiphon.sessions.programmes import ProgrammeOptions, Programmes
from antiphon.sessions.rooms import RoomManager
from antiphon.speech.registry import create_synthesiser
from antiphon.speech.synthesiser import Synthesiser, SynthesiserOptions
from antiphon.telemetry.logs import get_logger
from antiphon.transports.audio_out import AudioOutDoor
from antiphon.transports.http.sound import SoundRoutes
from antiphon.transports.listener import Desk

log = get_logger("listening")


class Listening:
    """Audio out.

    Args:
        settings: What is set.
        rooms: Where rooms live.
        access: Origins and keys.
        clock: Time.
        synthesiser: An engine to use instead of the one that the settings name.
    """

    def __init__(
        self, settings: Settings, rooms: RoomManager, access: Access, clock: Clock, synthesiser: Synthesiser | None
    ) -> None:
        self._settings = settings
        self._synthesiser = synthesiser
        self.broadcaster = Broadcaster(lambda fault: log.error("a broadcaster's event failed", exc_info=fault))
        self._folder = MediaFolder(Path(settings.media_folder) if settings.media_folder else None)
        self.programmes = Programmes(
            self.broadcaster,
            self._folder,
            rooms,
            ProgrammeOptions(
                max_programmes=settings.max_programmes,
                max_bytes=settings.max_programme_bytes,
                retention_s=settings.programme_retention,
                max_seconds=settings.max_session,
            ),
        )
        desk = Desk(
            broadcaster=self.broadcaster,
            programmes=self.programmes,
            access=access,
            clock=clock,
            max_message_bytes=settings.max_message_bytes,
            max_characters=settings.max_speech_chars,
            send_timeout=settings.send_timeout,
        )
        self.door = AudioOutDoor(desk, settings.max_listeners)

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes, ready for an application."""
        return [web.get("/ws-audio", self.door.handle), *SoundRoutes(self._folder, self.programmes).routes()]

    async def start(self) -> None:
        """Start the broadcaster and the synthesiser. A server without a voice hears and plays all the same."""
        self.broadcaster.start()
        settings = self._settings
        try:
            if self._synthesiser is None:
                options = SynthesiserOptions(
                    settings.synthesiser_workers, settings.synthesiser_idle, settings.synthesiser_timeout
                )
                self._synthesiser = create_synthesiser(settings.synthesiser, options)
            await self._synthesiser.start()
        except EngineUnavailable as error:
            log.warning("no texts are spoken", reason=error.message)
            self.programmes.silent = error.message
            self._synthesiser = None
        self.programmes.synthesiser = self._synthesiser

    async def close(self) -> None:
        """End everything."""
        await self.door.close()
        await self.programmes.close()
        if self._synthesiser is not None:
            await self._synthesiser.close()
        self.broadcaster.close()

    def gauges(self) -> dict[str, float]:
        """Gauges and counters for the metrics page, by name."""
        sent = self.broadcaster.statistics()
        voice = self._synthesiser.statistics() if self._synthesiser is not None else {}
        return {
            "listeners": self.door.listeners,
            "listeners_refused_total": self.door.refused_total,
            "programmes": len(self.programmes),
            "programmes_started_total": self.programmes.started_total,
            "programme_packets_encoded_total": self.programmes.packets_total,
            "programme_bytes": sent["tape_bytes"],
            "listener_packets_sent_total": sent["packets"],
            "listener_packets_dropped_total": sent["dropped"],
            "listener_stalls_total": sent["stalls"],
            "listener_underruns_total": sent["underruns"],
            "listener_late_p99_seconds": sent["late_us_p99"] / 1e6,
            "listener_late_p999_seconds": sent["late_us_p999"] / 1e6,
            "broadcast_cpu_seconds_total": sent["cpu_us"] / 1e6,
            "broadcast_events_lost_total": self.broadcaster.events_lost,
            **{f"synthesiser_{name}": value for name, value in voice.items()},
        }
