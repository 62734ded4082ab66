"""Settings: defaults, a TOML file, ``ANTIPHON_*`` variables and flags, each overriding those before."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from antiphon.security.access import is_loopback
from antiphon.security.turn import parse_ice_url

CORES = os.cpu_count() or 1
DEFAULT_FILE = Path("antiphon.toml")


def _split(value: object) -> object:
    """Lists may be written as text with commas, in variables and flags."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


class Settings(BaseSettings):
    """Everything that can be set. Units stand in each description."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_", extra="forbid", frozen=True, validate_default=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")
    insecure: bool = Field(False, description="Listen on other than loopback addresses without API keys.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Keys of which a client must show one (comma-separated); none: no key is asked for."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Web origins besides the server's own whose pages may connect (comma-separated), or '*'."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names, besides those of loopback, under which a server without API keys that listens on loopback "
        "may be asked for (comma-separated), such as that of a proxy in front.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["console", "json"] = Field("console", description="Logs for people or, as JSON, for machines.")

    engine: str = Field("pocketsphinx", description="Recogniser: a registered name, or package.module:Class.")
    language: str = Field("en-US", description="Language where a client names none (BCP 47 tag).")
    max_decoders: int = Field(4 * CORES, ge=1, le=1024, description="Utterances decoded at once; others wait.")
    decoder_idle: float = Field(60.0, ge=1, description="Seconds after which an unused decoder is given back.")
    decoder_timeout: float = Field(10.0, ge=0.1, description="Seconds without progress until a decoder is replaced.")
    endpoint_silence: float = Field(0.6, ge=0.1, le=5, description="Seconds of silence that end an utterance.")
    max_utterance: float = Field(30.0, ge=5, le=300, description="Seconds after which an utterance is cut.")
    vad_aggressiveness: int = Field(2, ge=0, le=3, description="0 takes much for speech, 3 takes little.")

    synthesiser: str = Field("espeak", description="Synthesiser: a registered name, or package.module:Class.")
    synthesiser_workers: int = Field(CORES, ge=1, le=256, description="Sentences synthesised at once; others wait.")
    synthesiser_idle: float = Field(60.0, ge=1, description="Seconds after which an unused synthesiser is given back.")
    synthesiser_timeout: float = Field(10.0, ge=0.1, description="Seconds without audio until one is replaced.")

    max_streams: int = Field(16 * CORES, ge=1, description="Streams and jobs at once; more get session_limit.")
    max_session: float = Field(4 * 3600.0, ge=1, description="Seconds of audio that one stream or file may bring.")
    max_rate: float = Field(4.0, ge=1, description="Seconds of audio a second that a live stream may send for long.")
    max_burst: float = Field(60.0, ge=1, description="Seconds of audio that a live stream may send at once.")
    max_backlog: float = Field(60.0, ge=1, description="Seconds of speech of one stream that may wait for a decoder.")
    resume_window: float = Field(60.0, ge=0, description="Seconds that a stream waits for its client to come back.")
    session_retention: float = Field(3600.0, ge=0, description="Seconds that an ended session's events are kept.")
    max_retained: int = Field(1000, ge=0, description="Ended sessions whose events are kept, at most.")
    max_events: int = Field(5000, ge=100, description="Events kept for each session; replaced partials go first.")
    max_total_events: int = Field(200_000, ge=1000, description="Events kept for all sessions; ended ones go first.")

    min_segment_bytes: int = Field(2048, ge=0, description="Stand-alone segments with fewer bytes are skipped.")
    min_transcript_words: int = Field(
        4, ge=0, description="Transcripts of stand-alone segments with fewer words are dropped."
    )
    segments_per_minute: int = Field(60, ge=1, le=10_000, description="Stand-alone segments of a session in a minute.")

    max_rooms: int = Field(1000, ge=1, description="Rooms at once; who would begin another gets session_limit.")
    max_room_participants: int = Field(200, ge=1, le=1000, description="Participants of one room.")

    rtc: bool = Field(True, description="Take media by WebRTC.")
    rtc_host: str = Field("", description="Address for media; by default that of host.")
    rtc_port: int = Field(
        8189,
        ge=0,
        le=65535,
        description="UDP port for media; 0 takes a free one, as port 0 does where this is not set.",
    )
    rtc_tcp: bool = Field(True, description="Take media over TCP too, on the same port, where UDP is blocked.")
    rtc_announce: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="IP addresses that clients send media to (comma-separated), where they reach it by others."
    )
    rtc_threads: int = Field(min(CORES, 64), ge=1, le=64, description="Threads that rooms are spread over.")
    rtc_max_peers: int = Field(1000, ge=1, description="WebRTC peers at once; more get session_limit.")
    rtc_grace: float = Field(
        5.0, ge=0, le=60, description="Seconds that a participant's media go on without its Socket.IO connection."
    )

    max_message_bytes: int = Field(1 << 20, ge=4096, description="Largest message of a live client, in bytes.")
    max_upload_bytes: int = Field(1 << 30, ge=4096, description="Largest file, in bytes.")
    max_jobs: int = Field(CORES, ge=1, description="Files transcribed at once.")
    max_queued_jobs: int = Field(32, ge=0, description="Files that may wait for their turn.")
    media_folder: str = Field("", description="Folder whose audio files may be listened to at /ws-audio.")
    max_listeners: int = Field(1000, ge=1, description="Listeners at /ws-audio at once; more get session_limit.")
    max_programmes: int = Field(
        min(8 * CORES, 64), ge=1, le=1000, description="Sources encoded at once for listeners; more get session_limit."
    )
    max_programme_bytes: int = Field(
        1 << 29, ge=1 << 20, description="Bytes of packets kept for listeners, shared out among max_programmes."
    )
    programme_retention: float = Field(
        30.0, ge=0, le=3600, description="Seconds that a file or a text is kept after its last listener has gone."
    )
    max_speech_chars: int = Field(5000, ge=1, le=100_000, description="Characters of one text to be spoken.")
    object_store: str = Field("", description="URL under which batch jobs may name objects (file:///..., s3://...).")

    stun_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="STUN servers that clients are told of (comma-separated), such as stun:turn.example.org:3478."
    )
    turn_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="TURN servers that clients are told of (comma-separated); they need turn_secret."
    )
    turn_secret: SecretStr = Field(
        SecretStr(""), description="Secret shared with the TURN servers (static-auth-secret of coturn)."
    )
    turn_ttl: int = Field(43_200, ge=60, le=604_800, description="Seconds for which TURN credentials are good.")

    ack_interval: float = Field(0.5, ge=0.01, le=10, description="Seconds between two acknowledgements to a client.")
    idle_timeout: float = Field(
        75.0, ge=0.1, le=3600, description="Seconds that an HTTP connection may be open without a whole request."
    )
    send_timeout: float = Field(10.0, ge=0.1, description="Seconds a client may leave a message untaken.")
    shutdown_grace: float = Field(10.0, ge=0, description="Seconds that running streams get to end at shutdown.")

    @field_validator(
        "api_keys", "cors_origins", "allowed_hosts", "stun_urls", "turn_urls", "rtc_announce", mode="before"
    )
    @classmethod
    def _lists(cls, value: object) -> object:
        return _split(value)

    @field_validator("api_keys")
    @classmethod
    def _keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < 16 for key in keys):
            raise ValueError("an API key must have at least 16 characters; make one with: openssl rand -hex 24")
        return keys

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not host or any(sign in host for sign in "/:*@ "):
                raise ValueError(f"{host!r} in allowed_hosts is not the name of a host; write it as voice.example.org")
        return hosts

    @field_validator("object_store")
    @classmethod
    def _store(cls, url: str) -> str:
        if url and "://" not in url:
            raise ValueError("object_store must be a URL, such as file:///srv/audio or s3://bucket/prefix")
        return url

    @field_validator("media_folder")
    @classmethod
    def _media_folder(cls, folder: str) -> str:
        path = Path(folder).expanduser()
        if folder and not path.is_dir():
            raise ValueError(f"media_folder {folder!r} is not a folder; make it, or name another one")
        return str(path) if folder else ""

    @field_validator("stun_urls", "turn_urls")
    @classmethod
    def _ice(cls, urls: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for url in urls:
            if parse_ice_url(url).relays != (info.field_name == "turn_urls"):
                raise ValueError(
                    f"{url!r} belongs into {'stun_urls' if info.field_name == 'turn_urls' else 'turn_urls'}"
                )
        return urls

    @field_validator("rtc_announce")
    @classmethod
    def _announced(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise ValueError(
                    f"{address!r} in rtc_announce is not an IP address; candidates carry no names"
                ) from None
        return addresses

    @field_validator("turn_secret")
    @classmethod
    def _turn_secret(cls, secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        if text and (len(text) < 16 or not text.isascii() or not text.isprintable() or " " in text):
            raise ValueError(
                "turn_secret must be at least 16 characters of ASCII without spaces; "
                "make one with: openssl rand -hex 32"
            )
        return secret

    @model_validator(mode="after")
    def _relaying(self) -> Self:
        if self.turn_urls and not self.turn_secret.get_secret_value():
            raise ValueError(
                "turn_urls need turn_secret, the static-auth-secret of those TURN servers; "
                "make one with: openssl rand -hex 32"
            )
        return self

    @model_validator(mode="after")
    def _listening(self) -> Self:
        if not is_loopback(self.host) and not self.api_keys and not self.insecure:
            raise ValueError(
                f"listening on {self.host} lets others in without a key: set api_keys, "
                "or say --insecure where something else keeps them out"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = cls.model_config.get("toml_file")
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        return (*sources, TomlConfigSettingsSource(settings_cls)) if file else sources

    @property
    def known_hosts(self) -> tuple[str, ...] | None:
        """The names under which the server may be asked for, besides those of loopback; None for any.

        With a key, or where others are let in on purpose, a name proves nothing.
        """
        return None if self.api_keys or not is_loopback(self.host) else self.allowed_hosts

    @property
    def media_port(self) -> int:
        """The UDP port for media; 0 for a free one."""
        return self.rtc_port if self.port or "rtc_port" in self.model_fields_set else 0

    def masked(self) -> dict[str, Any]:
        """The settings with secrets replaced by asterisks."""
        shown: dict[str, Any] = self.model_dump(mode="json")
        shown["api_keys"] = ["********" for _ in self.api_keys]
        shown["turn_secret"] = "********" if self.turn_secret.get_secret_value() else ""
        return shown


def load_settings(file: Path | None = None, **flags: Any) -> Settings:
    """The settings in force.

    Args:
        file: A TOML file; where None, ``antiphon.toml`` in the working directory if there is one.
        flags: What was given on the command line.

    Raises:
        FileNotFoundError: `file` does not exist.
        pydantic.ValidationError: A setting is wrong; it names which.
        tomllib.TOMLDecodeError: `file` is not TOML.
    """
    if file is not None and not file.is_file():
        raise FileNotFoundError(f"there is no settings file {file}")
    chosen = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=chosen)

    return FromFile(**flags)
