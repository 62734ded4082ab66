"""``antiphon doctor``."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from antiphon.cli.base import INTERRUPTED, RUNTIME_ERROR, USAGE_ERROR, Failure, out, read_settings
from antiphon.client.address import server_url
from antiphon.security.turn import IceUrl, MediaAddress, parse_ice_url, turn_credentials

if TYPE_CHECKING:
    from antiphon.client.doctor import Check
    from antiphon.client.ice import Login

DEFAULT_SERVER = "http://127.0.0.1:8080"
CREDENTIALS_S = 600
"""Seconds for which credentials that are made here are good."""

EPILOG = """\
Exit codes: 0 nothing is blocked; 1 something is; 2 wrong usage or settings."""

STYLES = {"ok": "green", "blocked": "bold red", "absent": "dim"}


def doctor(
    server: Annotated[
        str | None,
        typer.Argument(
            metavar="URL", help=f"The server. [{DEFAULT_SERVER}, unless --stun, --turn or --media is given]"
        ),
    ] = None,
    stun: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Try this STUN server, and not those the server names; may be repeated."),
    ] = None,
    turn: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Try this TURN server, and not those the server names; may be repeated."),
    ] = None,
    username: Annotated[
        str | None, typer.Option(help="For --turn; without one, credentials are made with turn_secret.")
    ] = None,
    credential: Annotated[
        str | None, typer.Option(help="For --turn.", envvar="ANTIPHON_TURN_CREDENTIAL", show_envvar=True)
    ] = None,
    media: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Try this media port, and not the one the server names.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file with authorities to trust besides the system's.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", envvar="ANTIPHON_API_KEY", help="Key to show to the server.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML file with turn_secret; default ./antiphon.toml.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds for each try.", show_default=True)] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find out which ways of audio to a server are blocked, and what to do about it.

    Tries HTTP and WebSocket, the media port over UDP and TCP, STUN, and TURN over UDP, TCP and TLS, each as a call
    would: an address is allocated at the TURN server and something sent through it and back.
    """
    from antiphon.client.doctor import Plan, State, conclusion, examine

    try:
        servers = _servers(stun or [], turn or [], username, credential, config)
        plan = Plan(
            server=server_url(server or DEFAULT_SERVER) if server or not (servers or media) else None,
            api_key=api_key,
            ice=servers,
            media=_media(media) if media else None,
            timeout=timeout,
            tls=_trust(ca),
        )
    except ValueError as fault:
        raise Failure(str(fault), USAGE_ERROR) from None
    try:
        checks = asyncio.run(examine(plan))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    said = conclusion(checks)
    well = all(check.state is not State.BLOCKED for check in checks)
    if as_json:
        told = {"ok": well, "checks": [check.as_dict() for check in checks], "conclusion": " ".join(said)}
        out.print(json.dumps(told, indent=2), markup=False, highlight=False, soft_wrap=True)
    else:
        _print(checks, said, well)
    if not well:
        raise typer.Exit(RUNTIME_ERROR)


def _servers(
    stun: list[str], turn: list[str], username: str | None, credential: str | None, config: Path | None
) -> tuple[tuple[IceUrl, Login], ...]:
    """Raises:
    ValueError: One is no such address, or there is nothing to show to a TURN server.
    """
    from antiphon.client.ice import Login

    servers = [(parse_ice_url(text), text in turn) for text in (*stun, *turn)]
    for url, relays in servers:
        if url.relays != relays:
            raise ValueError(f"{url.text} goes with {'--turn' if url.relays else '--stun'}")
    if (username is None) != (credential is None):
        raise ValueError("--username and --credential go together")
    login = Login(username or "", credential or "")
    if turn and username is None:
        secret = read_settings(config, {}).turn_secret.get_secret_value()
        if not secret:
            raise ValueError(
                "--turn needs --username and --credential, or the setting turn_secret (ANTIPHON_TURN_SECRET) to make "
                "them with"
            )
        login = Login(*turn_credentials(secret, int(time.time()) + CREDENTIALS_S, "doctor"))
    return tuple((url, login if url.relays else Login()) for url, _ in servers)


def _media(text: str) -> MediaAddress:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdecimal() and 1 <= int(port) <= 65535):
        raise ValueError(f"--media takes a host and a port, such as voice.example.org:8443, not {text[:100]!r}")
    return MediaAddress(host, int(port), tcp=True)


def _trust(ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except OSError as fault:  # ssl.SSLError is one
            raise ValueError(f"--ca: {ca} can't be read as PEM certificates: {fault.strerror or fault}") from None
    return context


def _print(checks: list[Check], said: list[str], well: bool) -> None:
    from antiphon.client.doctor import KINDS

    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column(overflow="fold")
    for check in checks:
        took = f"{check.milliseconds:.0f} ms" if check.milliseconds is not None else ""
        what = Text(check.detail)
        if check.advice:
            what.append(f"\n→ {check.advice}", style="bold")
        name = Text(KINDS[check.kind])
        if check.target:
            name.append(f"\n{check.target}", style="dim")
        table.add_row(Text(check.state.value, style=STYLES[check.state.value]), name, took, what)
    out.print(table)
    out.print()
    for sentence in said:
        out.print(sentence, style="green" if well else "bold", highlight=False, markup=False)
