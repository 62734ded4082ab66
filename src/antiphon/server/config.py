"""Settings: defaults, a TOML file, ``ANTIPHON_*`` variables and flags, each overriding those before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from antiphon.security.access import is_loopback

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

    max_message_bytes: int = Field(1 << 20, ge=4096, description="Largest message of a live client, in bytes.")
    max_upload_bytes: int = Field(1 << 30, ge=4096, description="Largest file, in bytes.")
    max_jobs: int = Field(CORES, ge=1, description="Files transcribed at once.")
    max_queued_jobs: int = Field(32, ge=0, description="Files that may wait for their turn.")
    object_store: str = Field("", description="URL under which batch jobs may name objects (file:///..., s3://...).")

    ack_interval: float = Field(0.5, ge=0.01, le=10, description="Seconds between two acknowledgements to a client.")
    send_timeout: float = Field(10.0, ge=0.1, description="Seconds a client may leave a message untaken.")
    shutdown_grace: float = Field(10.0, ge=0, description="Seconds that running streams get to end at shutdown.")

    @field_validator("api_keys", "cors_origins", mode="before")
    @classmethod
    def _lists(cls, value: object) -> object:
        return _split(value)

    @field_validator("api_keys")
    @classmethod
    def _keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < 16 for key in keys):
            raise ValueError("an API key must have at least 16 characters; make one with: openssl rand -hex 24")
        return keys

    @field_validator("object_store")
    @classmethod
    def _store(cls, url: str) -> str:
        if url and "://" not in url:
            raise ValueError("object_store must be a URL, such as file:///srv/audio or s3://bucket/prefix")
        return url

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

    def masked(self) -> dict[str, Any]:
        """The settings with secrets replaced by asterisks."""
        shown: dict[str, Any] = self.model_dump(mode="json")
        shown["api_keys"] = ["********" for _ in self.api_keys]
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
