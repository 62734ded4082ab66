"""Puts the server together."""

from __future__ import annotations

import asyncio
import importlib.resources
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import orjson
from aiohttp import hdrs, web

from antiphon import __version__
from antiphon.clock import Clock, SystemClock
from antiphon.errors import AntiphonError, Internal, NotFound
from antiphon.media.rtc import open_engine
from antiphon.protocol.signaling import Signaling, SignalingLimits
from antiphon.security.access import Access, bearer_token
from antiphon.security.turn import IceServer, MediaAddress, ice_servers, link_headers
from antiphon.server.config import Settings
from antiphon.server.listening import Listening
from antiphon.server.openapi import openapi
from antiphon.server.options import engine_options, ice_options, session_limits, transcriber_options
from antiphon.sessions import SessionManager
from antiphon.sessions.jobs import JobLimits, JobManager
from antiphon.sessions.rooms import RoomManager, RoomOptions
from antiphon.sessions.segments import SegmentLimits, SegmentManager
from antiphon.speech.recogniser import Recogniser
from antiphon.speech.registry import create_recogniser
from antiphon.speech.synthesiser import Synthesiser
from antiphon.state import MemoryStore, MemoryWindows, RateWindows
from antiphon.telemetry.logs import get_logger
from antiphon.telemetry.metrics import Metrics
from antiphon.transports.http.ice import IceRoutes
from antiphon.transports.http.transcriptions import JOB_HEADER, TranscriptionRoutes
from antiphon.transports.http.uploads import Uploads
from antiphon.transports.http.whip import EXPOSED as WHIP_HEADERS
from antiphon.transports.http.whip import PREFIXES as WHIP_PREFIXES
from antiphon.transports.http.whip import WhipRoutes
from antiphon.transports.socketio.segments import SegmentDoor
from antiphon.transports.socketio.server import SocketIOServer
from antiphon.transports.socketio.sharing import SharingDoor
from antiphon.transports.socketio.signaling import SignalingDoor
from antiphon.transports.socketio.transcription import TranscriptionDoor
from antiphon.transports.websocket import AudioStreamDoor

log = get_logger("server")

MAX_PATH = 1024
"""Characters of a path; no name of ours is near that, and file systems fail on longer ones."""
MAX_LINE = 2 << 20
"""Bytes of a request's first line, as much as browsers send: a text to be spoken stands in it, and one that is too long
is told so over its WebSocket."""

OPEN_TO_PAGES = ("/v1/", *WHIP_PREFIXES)
"""Where pages of other origins may ask, if the settings allow theirs."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGES = frozenset({"/", "/rooms.html", "/listen.html"})

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "media-src 'self' blob:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class MediaPortTaken(OSError):
    """The port for media is taken, or its address is not this machine's; the message says what to do."""


class Server:
    """An Antiphon server.

    Args:
        settings: What is set.
        recogniser: An engine to use instead of the one that the settings name.
        clock: Time.
        synthesiser: An engine to use instead of the one that the settings name.
    """

    def __init__(
        self,
        settings: Settings,
        recogniser: Recogniser | None = None,
        clock: Clock | None = None,
        synthesiser: Synthesiser | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.recogniser = recogniser or create_recogniser(settings.engine, engine_options(settings))
        self.store = MemoryStore(settings.max_events, settings.max_total_events)
        self.sessions = SessionManager(
            self.recogniser,
            self.store,
            session_limits(settings),
            transcriber_options(settings),
            settings.language,
            self.clock,
        )
        self.jobs = JobManager(
            self.sessions,
            JobLimits(settings.max_jobs, settings.max_queued_jobs, settings.max_session, settings.max_retained),
        )
        self.segments = SegmentManager(
            self.sessions,
            RateWindows(settings.segments_per_minute, MemoryWindows(self.clock.monotonic), self.clock.monotonic),
            SegmentLimits(settings.min_segment_bytes, settings.min_transcript_words),
            settings.max_jobs,
        )
        self.access = Access(
            tuple(key.get_secret_value() for key in settings.api_keys),
            settings.cors_origins,
            settings.known_hosts,
        )
        self.sio = SocketIOServer(
            max_message_bytes=settings.max_message_bytes,
            send_timeout=settings.send_timeout,
            cors_allowed_origins=self._allows,
        )
        self.transcription = TranscriptionDoor(
            self.sio, self.sessions, self.access, settings.ack_interval, settings.send_timeout
        )
        self.segment_door = SegmentDoor(self.sio, self.sessions, self.segments)
        self.ice = ice_options(settings)
        self.rooms = RoomManager(
            Signaling(SignalingLimits(settings.max_rooms, settings.max_room_participants)),
            self.sessions,
            self.clock,
            RoomOptions(settings.rtc_grace),
        )
        self.signaling = SignalingDoor(self.sio, self.rooms, self.access, self._ice_servers)
        self.sharing = SharingDoor(self.sio, self.sessions, self.signaling, self.transcription, self.segment_door)
        self.audio_stream = AudioStreamDoor(
            self.sessions,
            self.rooms,
            self.access,
            settings.max_message_bytes,
            settings.ack_interval,
            settings.send_timeout,
        )
        self.listening = Listening(settings, self.rooms, self.access, self.clock, synthesiser)
        self.media_address: MediaAddress | None = None
        self.metrics = Metrics(self._gauges)
        self.app = self._application()
        self._runner: web.AppRunner | None = None
        self._ready = False

    async def start(self) -> str:
        """Start the engine, listen, and return the address as a URL.

        Raises:
            EngineUnavailable: The engine cannot start.
            OSError: The port is taken; as :class:`MediaPortTaken` that for media.
        """
        await self.recogniser.start()
        await self.listening.start()
        self._runner = web.AppRunner(
            self.app,
            access_log=None,
            shutdown_timeout=2.0,
            max_line_size=MAX_LINE,
            keepalive_timeout=self.settings.idle_timeout,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port, backlog=1024)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._start_media(host)
        self._ready = True
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Take no more connections, let streams end within the grace period, then close."""
        self._ready = False
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
        self.transcription.announce_shutdown()
        self.audio_stream.announce_shutdown()
        self.listening.door.announce_shutdown()
        self.segments.drain()
        grace = self.settings.shutdown_grace
        await asyncio.gather(self.rooms.end_captions(grace), self.sharing.close(grace))
        complete = await self.sessions.drain(self.settings.shutdown_grace)
        log.info("drained", complete=complete)
        await self.segments.close()
        await self.jobs.close()
        # what the last streams had to say is on its way to the clients
        await asyncio.sleep(0)
        await self.audio_stream.close()
        await self.listening.close()
        await self.segment_door.close()
        await self.transcription.close()
        await self.sio.shutdown()
        self.rooms.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.sessions.close()
        await self.recogniser.close()

    def _start_media(self, address: str) -> None:
        """Take media where the settings say, or else at `address`."""
        settings = self.settings
        if not settings.rtc:
            return
        host = settings.rtc_host or address
        try:
            engine = open_engine(
                host,
                settings.media_port,
                tcp=settings.rtc_tcp,
                threads=settings.rtc_threads,
                announce=settings.rtc_announce,
                max_peers=settings.rtc_max_peers,
                on_fault=lambda fault: log.error("a media event failed", exc_info=fault),
            )
        except (OSError, ValueError) as fault:
            # a host that is no address is a ValueError
            raise MediaPortTaken(
                f"cannot take media on {host}:{settings.media_port}: {fault}; choose another port with --rtc-port, "
                "another address with --rtc-host, or go without media with --no-rtc"
            ) from None
        engine.start()
        self.rooms.engine = engine
        self.media_address = MediaAddress(engine.host, engine.port, engine.tcp_port is not None)

    def _ice_servers(self) -> list[IceServer]:
        """For one client, with credentials of its own."""
        return ice_servers(self.ice, secrets.token_hex(8), self.clock.time())

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 20)
        app.on_response_prepare.append(self._allow_origin)
        self.sio.attach(app)
        routes = TranscriptionRoutes(
            self.sessions,
            self.jobs,
            Uploads(self.settings.max_upload_bytes, self.settings.object_store),
            self.settings.send_timeout,
        )
        app.on_response_prepare.append(_name_server)
        app.add_routes(routes.routes())
        app.add_routes(WhipRoutes(self.rooms, lambda: link_headers(self._ice_servers())).routes())
        app.add_routes(self.listening.routes())
        app.add_routes(IceRoutes(self.ice, self.clock, lambda: self.media_address).routes())
        app.add_routes(
            [
                web.get("/audio-stream", self.audio_stream.handle),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/openapi.json", self._openapi),
                web.get("/v1/engine", self._engine),
                web.get("/v1/rooms", self._rooms),
            ]
        )
        with importlib.resources.as_file(importlib.resources.files("antiphon") / "web") as folder:
            self._web = Path(folder)
        app.router.add_get("/", self._page("index.html"))
        app.router.add_get("/rooms.html", self._page("rooms.html"))
        app.router.add_get("/listen.html", self._page("listen.html"))
        app.router.add_static("/static", self._web, append_version=False)
        return app

    def _allows(self, origin: str, environ: Mapping[str, str]) -> bool:
        """What the Socket.IO library asks about an origin."""
        try:
            self.access.check_origin({"Origin": origin, "Host": environ.get("HTTP_HOST", "")})
        except AntiphonError:
            return False
        return True

    async def _allow_origin(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the page that asked read the answer, streams among them; only origins that passed the check get here."""
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and request.get("origin_allowed"):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-Match, Last-Event-ID"
            response.headers["Access-Control-Allow-Methods"] = "GET, POST, PATCH, DELETE"
            response.headers["Access-Control-Expose-Headers"] = f"{JOB_HEADER}, {WHIP_HEADERS}"
            response.headers["Vary"] = "Origin"

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Keys, origins and errors of everything that is plain HTTP."""
        try:
            if "\0" in request.path or len(request.path) > MAX_PATH:
                raise NotFound("there is nothing at this path")
            self.access.check_host(request.headers)
            if request.path.startswith((*OPEN_TO_PAGES, "/metrics")):
                self.access.check_origin(request.headers)
                request["origin_allowed"] = request.path.startswith(OPEN_TO_PAGES)
                if request.method == hdrs.METH_OPTIONS:
                    # a preflight carries no key
                    asks = request.path.startswith(WHIP_PREFIXES)
                    return await handler(request) if asks else web.Response(status=204)
                self.access.check_key(bearer_token(request.headers) or request.query.get("token"))
            elif request.path.startswith("/static/"):
                # a page of another origin may import the SDK
                environ = {"HTTP_HOST": request.host}
                request["origin_allowed"] = self._allows(request.headers.get(hdrs.ORIGIN, ""), environ)
            response = await handler(request)
        except AntiphonError as error:
            response = _error_response(error)
        except web.HTTPException as error:
            response = error
            if request.path.startswith(OPEN_TO_PAGES) and error.status >= 400:
                response = web.json_response(_http_error(error), status=error.status, headers=_allow(error))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            # a bug in one handler must not end the connection without a word
            log.exception("request failed", path=request.path)
            response = _error_response(Internal("the server failed on this request; its log says more"))
        if response.prepared:
            return response
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if request.path in PAGES or request.path.startswith("/static/"):
            response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            response.headers.setdefault("Referrer-Policy", "no-referrer")
            response.headers.setdefault("Cache-Control", "no-cache")
        return response

    def _page(self, name: str) -> Handler:
        async def page(_: web.Request) -> web.StreamResponse:
            return web.FileResponse(self._web / name)

        return page

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "version": __version__})

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._ready and not self.sessions.draining
        full = self.sessions.streams >= self.settings.max_streams
        status = "ready" if ready and not full else ("full" if ready else "shutting down")
        return web.json_response(
            {"status": status, "streams": self.sessions.streams, "maxStreams": self.settings.max_streams},
            status=200 if status == "ready" else 503,
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        body, kind = self.metrics.render()
        return web.Response(body=body, headers={"Content-Type": kind})

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(openapi()), content_type="application/json")

    async def _engine(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "name": self.recogniser.name,
                "description": self.recogniser.description,
                "languages": self.recogniser.capabilities.languages,
                "defaultLanguage": self.settings.language,
                "maxMessageBytes": self.settings.max_message_bytes,
                "maxUploadBytes": self.settings.max_upload_bytes,
            }
        )

    async def _rooms(self, _: web.Request) -> web.Response:
        return web.json_response({"rooms": self.rooms.describe_rooms()})

    def _gauges(self) -> dict[str, float]:
        packets = self.sessions.packets()
        return {
            "streams": self.sessions.streams,
            "streams_started_total": self.sessions.streams_total,
            "streams_refused_total": self.sessions.refused_total,
            "websocket_connections": self.audio_stream.connections,
            "socketio_connections": self.transcription.connections,
            "rooms": len(self.rooms.rooms),
            "room_participants": self.rooms.participants,
            "session_logs": len(self.store),
            "shared_streams": self.sharing.streams,
            "audio_data_dropped_total": self.sharing.dropped,
            "segments_total": self.segments.total,
            "segment_transcripts_dropped_total": self.segments.dropped,
            "audio_packets_received_total": packets.received,
            "audio_packets_lost_total": packets.lost,
            "audio_packets_duplicate_total": packets.duplicates,
            "audio_packets_reordered_total": packets.reordered,
            **self.audio_stream.gauges(),
            **self._media_gauges(),
            **self.listening.gauges(),
            **{f"engine_{name}": value for name, value in self.recogniser.statistics().items()},
        }

    def _media_gauges(self) -> dict[str, float]:
        engine = self.rooms.engine
        if engine is None:
            return {}
        return {
            "rtc_participants": engine.participants,
            "rtc_events_lost_total": engine.events_lost,
            "rtc_commands_lost_total": engine.commands_lost,
            "rtc_datagrams_dropped_total": engine.datagrams_dropped,
        }


async def _name_server(_: web.Request, response: web.StreamResponse) -> None:
    """Not the versions of what we are made of."""
    response.headers[hdrs.SERVER] = "Antiphon"


def _error_response(error: AntiphonError) -> web.Response:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.json_response(error.as_dict(), status=error.http_status, headers=headers)


def _http_error(error: web.HTTPException) -> dict[str, object]:
    code = {404: "not_found", 405: "bad_message", 413: "too_large"}.get(error.status, "bad_message")
    message = {404: "there is nothing at this path; see /openapi.json", 405: "this path does not take this method"}.get(
        error.status, error.reason
    )
    return {"message": message, "code": code, "retryable": False}


def _allow(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
