"""``antiphon turn``."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from antiphon.cli.base import ENGINE_ERROR, USAGE_ERROR, Failure, err, out, read_settings
from antiphon.security.coturn import (
    Address,
    CoturnOptions,
    coturn_configuration,
    parse_addresses,
    turn_addresses,
)

PROGRAM = "turnserver"
SERVICE_USER = "turnserver"
"""The account that packages of coturn make."""
STOP_S = 10.0
"""Seconds that coturn gets to end."""

EPILOG = """\
Exit codes: 0 ended by Ctrl-C or SIGTERM, or the file was written; 1 a port is taken, or a file can't be read or
written; 2 wrong usage or settings; 3 coturn is not installed, or ended by itself."""


def turn(
    host: Annotated[
        str | None, typer.Option(metavar="NAME", help="Public name or address, as clients will reach it.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML file with settings; default ./antiphon.toml.")
    ] = None,
    listen: Annotated[
        list[str] | None, typer.Option(metavar="IP", help="Listen there; may be repeated. [all addresses]")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="For STUN, and TURN over UDP and TCP.", show_default=True)
    ] = 3478,
    tls_port: Annotated[int, typer.Option(min=1, max=65535, help="For TURN over TLS.", show_default=True)] = 5349,
    cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file with the certificate chain; none: no TLS.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM file with the certificate's key.")] = None,
    external_ip: Annotated[
        str | None,
        typer.Option(metavar="IP[/IP]", help="Public address in front of a NAT, and the private one behind it."),
    ] = None,
    relay_ports: Annotated[
        str, typer.Option(metavar="FIRST-LAST", help="UDP ports of relays.", show_default=True)
    ] = "49152-65535",
    realm: Annotated[str | None, typer.Option(help="Realm told to clients. [--host]")] = None,
    allow_peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IP",
            help="Relay to this address although it is loopback, private or the like, such as the one Antiphon takes "
            "media on; may be repeated.",
        ),
    ] = None,
    allow_private_peers: Annotated[
        bool, typer.Option("--allow-private-peers", help="Relay to all private networks. Loopback stays denied.")
    ] = False,
    tcp_relay: Annotated[
        bool, typer.Option("--tcp-relay", help="Relay to TCP peers too (RFC 6062), which WebRTC does not ask for.")
    ] = False,
    total_quota: Annotated[int, typer.Option(min=1, help="Allocations at once.", show_default=True)] = 8000,
    user_quota: Annotated[
        int, typer.Option(min=1, help="Allocations at once with one set of credentials.", show_default=True)
    ] = 100,
    bandwidth: Annotated[
        int, typer.Option(min=1000, metavar="BYTES", help="Bytes a second of one allocation.", show_default=True)
    ] = 250_000,
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="FILE", help="Write the configuration there and don't run it; - prints it."),
    ] = None,
) -> None:
    """Run a TURN server: coturn, with a configuration that lets nobody into your network.

    It relays to public addresses only, unless told otherwise, and takes the time-limited credentials that the server
    gives out at /v1/ice-servers. The secret for these is the setting turn_secret (ANTIPHON_TURN_SECRET, or the
    settings file), the same here and for `antiphon serve`. Ports to open in firewalls: 3478 UDP and TCP, 5349 TCP, and
    the relay ports UDP.
    """
    secret = read_settings(config, {}).turn_secret.get_secret_value()
    if not secret:
        raise Failure(
            "there is no turn_secret; set ANTIPHON_TURN_SECRET here and for the server to the same text, made with: "
            "openssl rand -hex 32",
            USAGE_ERROR,
        )
    try:
        options = CoturnOptions(
            secret=secret,
            realm=realm or (host if host and ":" not in host else "antiphon"),
            listen=parse_addresses(listen or ()),
            port=port,
            tls_port=tls_port,
            certificate=cert.absolute() if cert else None,
            key=key.absolute() if key else None,
            external=_external(external_ip),
            relay_ports=_ports(relay_ports),
            allowed_peers=parse_addresses(allow_peer or ()),
            private_peers=allow_private_peers,
            tcp_relay=tcp_relay,
            total_quota=total_quota,
            user_quota=user_quota,
            bandwidth=bandwidth,
        )
    except ValueError as fault:
        raise Failure(str(fault), USAGE_ERROR) from None
    _check_certificate(options)
    if options.certificate is None:
        err.print(
            "No certificate: TURN over TLS is left out, and networks that let only TLS through are too. "
            "Give one with --cert and --key.",
            soft_wrap=True,
        )
    if write is not None:
        _write(write, options)
        _tell(host, options)
        return
    program = shutil.which(PROGRAM)
    if program is None:
        raise Failure(
            f"coturn is not installed; install it with: {_how_to_get()}\n"
            "or write its configuration for another machine with --write FILE",
            ENGINE_ERROR,
        )
    check_ports(options)
    _tell(host, options)
    _run(program, options)


def _external(text: str | None) -> tuple[Address, Address | None] | None:
    if text is None:
        return None
    public, *private = parse_addresses(text.split("/", 1))
    return public, private[0] if private else None


def _ports(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and int(first) >= 1024 and int(last) <= 65535):
        raise ValueError(f"--relay-ports takes two ports from 1024 to 65535, such as 49152-65535, not {text[:40]!r}")
    return int(first), int(last)


def _check_certificate(options: CoturnOptions) -> None:
    """Say what is wrong with it before coturn leaves TLS out without a word.

    Raises:
        Failure: It can't be read, or is not a certificate and its key.
    """
    if options.certificate is None or options.key is None:
        return
    for file in (options.certificate, options.key):
        try:
            file.open("rb").close()
        except OSError as fault:
            raise Failure(f"{file} can't be read: {fault.strerror or fault}") from None
    try:
        # an encrypted key would ask on the terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.certificate, options.key, lambda: "")
    except (ssl.SSLError, ValueError):
        raise Failure(
            f"{options.certificate} and {options.key} are not a PEM certificate and the key that belongs to it, "
            "without a pass phrase"
        ) from None


def check_ports(options: CoturnOptions) -> None:
    """See that nobody has the ports: coturn shares them with others of its kind, and each hears half.

    Raises:
        Failure: One is taken, or an address is not this machine's.
    """
    ports = [(options.port, "--port")]
    if options.certificate is not None:
        ports.append((options.tls_port, "--tls-port"))
    addresses = [str(address) for address in options.listen] or ["0.0.0.0"]  # noqa: S104 - coturn's own default
    for host in addresses:
        for port, flag in ports:
            for kind, name in ((socket.SOCK_DGRAM, "UDP"), (socket.SOCK_STREAM, "TCP")):
                try:
                    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
                        if kind == socket.SOCK_STREAM:
                            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        probe.bind((host, port))
                except OSError as fault:
                    hint = f"choose another with {flag}"
                    if fault.errno == errno.EADDRINUSE:
                        hint += ", or end what has it (systemctl stop coturn, where the package started one)"
                    elif fault.errno == errno.EADDRNOTAVAIL:
                        hint = "name an address of this machine with --listen, and the public one with --external-ip"
                    raise Failure(f"cannot listen on {host}:{port}/{name}: {fault.strerror}; {hint}") from None


def _write(file: Path, options: CoturnOptions) -> None:
    text = coturn_configuration(options)
    if str(file) == "-":
        out.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        return
    try:
        _write_private(file, text, _service_group())
    except OSError as fault:
        raise Failure(f"{file} can't be written: {fault.strerror or fault}") from None
    err.print(f"Wrote {file}; run it with: {PROGRAM} -c {file}", highlight=False, markup=False, soft_wrap=True)


def _write_private(file: Path, text: str, group: int | None = None) -> None:
    """Write a file that only its owner, and `group`, can read, at no moment anybody else."""
    with tempfile.NamedTemporaryFile("w", dir=file.absolute().parent, prefix=f".{file.name}.", delete=False) as new:
        try:
            new.write(text)
            new.flush()
            if group is not None:
                os.chown(new.fileno(), -1, group)
                os.fchmod(new.fileno(), 0o640)
            Path(new.name).replace(file)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise


def _tell(host: str | None, options: CoturnOptions) -> None:
    if host is None and options.external is not None:
        host = str(options.external[0])
    if host is None and options.listen:
        host = str(options.listen[0])
    urls = turn_addresses(host or "THIS-HOST", options)
    settings = f"ANTIPHON_STUN_URLS={urls[0].replace('turn:', 'stun:').partition('?')[0]}\n"
    settings += f"ANTIPHON_TURN_URLS={','.join(urls)}"
    err.print(f"The server tells clients of it with:\n{settings}", highlight=False, markup=False, soft_wrap=True)


def _how_to_get() -> str:
    for tool, command in (
        ("apt-get", "sudo apt-get install coturn"),
        ("dnf", "sudo dnf install coturn"),
        ("brew", "brew install coturn"),
    ):
        if shutil.which(tool):
            return command
    return "your system's package manager (the package is called coturn)"


def _run(program: str, options: CoturnOptions) -> None:
    """Run coturn, with its configuration in a folder of its own, until we are told to end it.

    Raises:
        Failure: It ended by itself.
    """
    ended_at: float | None = None
    process: subprocess.Popen[bytes] | None = None

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended_at
        ended_at = time.monotonic() if ended_at is None else ended_at
        if process is not None:
            process.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with tempfile.TemporaryDirectory(prefix="antiphon-turn-") as folder:
        file = Path(folder) / "turnserver.conf"
        user = SERVICE_USER if _service_group() is not None else None
        _write_private(file, coturn_configuration(replace(options, pid_file=Path(folder) / "pid", user=user)))
        command = [program, "-c", str(file)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=folder)  # noqa: S603 - of our own making
        if ended_at is not None:
            process.terminate()
        while process.returncode is None:
            try:
                process.wait(1.0)
            except subprocess.TimeoutExpired:
                if ended_at is not None and time.monotonic() > ended_at + STOP_S:
                    process.kill()
    if ended_at is None:
        raise Failure(
            f"coturn ended by itself with exit code {process.returncode}; see what it wrote above", ENGINE_ERROR
        )


def _service_group() -> int | None:
    """The group of coturn's account, where there is one and we may hand things to it."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SERVICE_USER).pw_gid
    except KeyError:
        return None
