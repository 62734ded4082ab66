"""What the settings say to each part of the server."""

from __future__ import annotations

from antiphon.security.turn import IceOptions
from antiphon.server.config import Settings
from antiphon.sessions import SessionLimits
from antiphon.speech.endpointer import EndpointerOptions
from antiphon.speech.recogniser import EngineOptions
from antiphon.speech.transcriber import TranscriberOptions


def engine_options(settings: Settings) -> EngineOptions:
    """What the settings say to every engine."""
    return EngineOptions(
        max_decoders=settings.max_decoders,
        decoder_idle=settings.decoder_idle,
        decoder_timeout=settings.decoder_timeout,
    )


def ice_options(settings: Settings) -> IceOptions:
    """What the settings say about STUN and TURN servers."""
    return IceOptions(
        stun_urls=settings.stun_urls,
        turn_urls=settings.turn_urls,
        secret=settings.turn_secret.get_secret_value(),
        ttl=settings.turn_ttl,
    )


def transcriber_options(settings: Settings) -> TranscriberOptions:
    """What the settings say to every transcriber."""
    silence = round(settings.endpoint_silence * 1000)
    return TranscriberOptions(
        endpointing=EndpointerOptions(
            aggressiveness=settings.vad_aggressiveness,
            silence_ms=silence,
            tail_ms=min(300, silence),
            max_utterance_s=settings.max_utterance,
        )
    )


def session_limits(settings: Settings) -> SessionLimits:
    """What the settings say about sessions."""
    return SessionLimits(
        max_streams=settings.max_streams,
        max_session_s=settings.max_session,
        burst_s=settings.max_burst,
        max_rate=settings.max_rate,
        max_backlog_s=settings.max_backlog,
        resume_window_s=settings.resume_window,
        retention_s=settings.session_retention,
        max_retained=settings.max_retained,
    )
