"""A configuration for coturn that relays to media servers and callers, and to nothing inside.

A TURN server sends packets wherever its users say. Left open, that is a way past the firewall, to databases and to the
metadata service of the cloud. So what is not on the public internet is denied, but for the addresses that were named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

Address = IPv4Address | IPv6Address

PRIVATE = {
    "10.0.0.0/8": "private (RFC 1918)",
    "172.16.0.0/12": "private (RFC 1918)",
    "192.168.0.0/16": "private (RFC 1918)",
    "100.64.0.0/10": "behind a provider's translator (RFC 6598)",
    "fc00::/7": "private (RFC 4193)",
}
"""Networks that may be opened together: machines of one's own."""

NEVER = {
    "0.0.0.0/8": "this network (RFC 1122)",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local, and the metadata service of most clouds",
    "100.100.100.200/32": "metadata service (Alibaba)",
    "168.63.129.16/32": "wire server (Azure)",
    "192.0.0.0/24": "protocol assignments, and a metadata service (Oracle)",
    "192.0.2.0/24": "documentation (RFC 5737)",
    "192.88.99.0/24": "6to4 relays (RFC 7526)",
    "198.18.0.0/15": "benchmarks (RFC 2544)",
    "198.51.100.0/24": "documentation (RFC 5737)",
    "203.0.113.0/24": "documentation (RFC 5737)",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved, and broadcast",
    "::/96": "unspecified, loopback, and IPv4-compatible addresses",
    "::ffff:0:0/96": "IPv4 addresses written as IPv6",
    "64:ff9b::/96": "IPv4 addresses behind NAT64 (RFC 6052)",
    "64:ff9b:1::/48": "IPv4 addresses behind NAT64 (RFC 8215)",
    "100::/64": "discarded (RFC 6666)",
    "2001::/32": "IPv4 addresses behind Teredo (RFC 4380)",
    "2001:db8::/32": "documentation (RFC 3849)",
    "2002::/16": "IPv4 addresses behind 6to4 (RFC 3056)",
    "fd00:ec2::254/128": "metadata service (Amazon)",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local (RFC 3879)",
    "ff00::/8": "multicast",
}
"""Networks that are opened one address at a time, if at all."""

_SECRET = re.compile(r"[A-Za-z0-9+/=_.-]{16,}")
_REALM = re.compile(r"[A-Za-z0-9.-]{1,127}")


@dataclass(frozen=True, slots=True)
class CoturnOptions:
    """What a TURN server is to do.

    Attributes:
        secret: Shared with those who make credentials, ``static-auth-secret``.
        realm: Named to clients; the server's public name.
        listen: Addresses to listen on and to relay from; none: all of the machine's.
        port: For STUN, and TURN over UDP and TCP.
        tls_port: For TURN over TLS.
        certificate: PEM file with the chain; None leaves TLS out.
        key: PEM file with its key.
        external: Public address in front of a NAT, with the private one behind it (None: the only one).
        relay_ports: First and last UDP port of relays.
        allowed_peers: Addresses to relay to although their network is denied.
        private_peers: Whether to relay to private networks.
        tcp_relay: Whether to relay to TCP peers (RFC 6062). WebRTC never asks for that.
        total_quota: Allocations at once.
        user_quota: Allocations at once of one user.
        bandwidth: Bytes a second of one allocation, each way.
        pid_file: Where coturn writes its process id.
        user: Account to change to once the ports are open, where coturn is started as root.
    """

    secret: str
    realm: str
    listen: tuple[Address, ...] = ()
    port: int = 3478
    tls_port: int = 5349
    certificate: Path | None = None
    key: Path | None = None
    external: tuple[Address, Address | None] | None = None
    relay_ports: tuple[int, int] = (49_152, 65_535)
    allowed_peers: tuple[Address, ...] = ()
    private_peers: bool = False
    tcp_relay: bool = False
    total_quota: int = 8000
    user_quota: int = 100
    bandwidth: int = 250_000
    pid_file: Path | None = None
    user: str | None = None

    def __post_init__(self) -> None:
        if not _SECRET.fullmatch(self.secret):
            raise ValueError(
                "turn_secret must be at least 16 letters, digits or any of + / = _ . - so that coturn reads it as it "
                "is; make one with: openssl rand -hex 32"
            )
        if not _REALM.fullmatch(self.realm):
            raise ValueError(f"the realm must be a name such as turn.example.org, not {self.realm[:100]!r}")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate needs its key and a key its certificate")
        for file in (self.certificate, self.key, self.pid_file):
            if file is not None and not str(file).isprintable():
                raise ValueError(f"coturn reads no file named {str(file)!r}")
        if self.port == self.tls_port and self.certificate is not None:
            raise ValueError(f"port {self.port} can't be the plain and the TLS port at once")
        if self.relay_ports[0] > self.relay_ports[1]:
            raise ValueError(f"relay ports {self.relay_ports[0]}-{self.relay_ports[1]} end before they begin")


def denied_networks(private_peers: bool = False) -> dict[str, str]:
    """Networks that are not relayed to, with what they are."""
    return NEVER if private_peers else PRIVATE | NEVER


def denied(address: Address, private_peers: bool = False) -> str | None:
    """What keeps an address from being relayed to; None where nothing does."""
    for network, what in denied_networks(private_peers).items():
        if address in ip_network(network):
            return what
    return None


def coturn_configuration(options: CoturnOptions) -> str:
    """The text of a ``turnserver.conf``."""
    parts: list[tuple[str, list[str]]] = [
        ("Where it listens", _listening(options)),
        ("Who may use it: holders of credentials signed with the secret, until these end", _access(options)),
        ("How much", _quotas(options)),
        ("What it relays to: an allowed address wins over a denied network", _peers(options)),
        ("What it leaves out", _left_out(options)),
        ("How it runs", _running(options)),
    ]
    head = "# coturn for Antiphon. It holds a secret: keep it from other users of the machine.\n"
    return head + "".join(f"\n# {title}\n" + "".join(f"{line}\n" for line in lines) for title, lines in parts)


def _listening(options: CoturnOptions) -> list[str]:
    lines = [f"listening-port={options.port}"]
    if options.certificate is not None:
        lines += [
            f"tls-listening-port={options.tls_port}",
            f"cert={options.certificate}",
            f"pkey={options.key}",
            "no-tlsv1",
            "no-tlsv1_1",
        ]
    else:
        lines.append("no-tls")
    lines += [f"listening-ip={address}" for address in options.listen]
    lines += [f"relay-ip={address}" for address in options.listen]
    if options.external is not None:
        public, private = options.external
        lines.append(f"external-ip={public}" + (f"/{private}" if private is not None else ""))
    return [*lines, f"min-port={options.relay_ports[0]}", f"max-port={options.relay_ports[1]}", "fingerprint"]


def _access(options: CoturnOptions) -> list[str]:
    return [
        "use-auth-secret",
        f"static-auth-secret={options.secret}",
        f"realm={options.realm}",
        f"server-name={options.realm}",
        "stale-nonce=600",
    ]


def _quotas(options: CoturnOptions) -> list[str]:
    return [
        f"total-quota={options.total_quota}",
        f"user-quota={options.user_quota}",
        f"max-bps={options.bandwidth}",
    ]


def _peers(options: CoturnOptions) -> list[str]:
    allowed = list(options.allowed_peers)
    if options.external is not None and options.external[0] in allowed and options.external[1] is not None:
        # coturn looks at the address that its own public one stands for
        allowed.append(options.external[1])
    lines = [f"allowed-peer-ip={address}" for address in allowed]
    if any(address.is_loopback for address in allowed):
        # without it coturn denies loopback before it looks at the lists
        lines.append("allow-loopback-peers")
    lines.append("no-multicast-peers")
    for text, what in denied_networks(options.private_peers).items():
        lines.append(f"# {what}")
        lines += [f"denied-peer-ip={first}-{last}" for first, last in _ranges(ip_network(text))]
    return lines


def _ranges(network: IPv4Network | IPv6Network) -> list[tuple[Address, Address]]:
    """A network as coturn understands ranges.

    It takes ``::`` for no lower bound, and every IPv4 address for lower than those of IPv6. And it compares IPv6
    addresses byte by byte: one is in a range where each of its bytes is. So what begins at ``::`` is given once for
    each byte that may be other than zero. ``::`` itself is always denied.
    """
    first, last = network[0], network[-1]
    if network.version == 4 or int(first) != 0:
        return [(first, last)]
    return [(IPv6Address(1 << bit), last) for bit in range(0, 128 - network.prefixlen, 8)]


def _left_out(options: CoturnOptions) -> list[str]:
    return [
        "no-cli",
        *([] if options.tcp_relay else ["no-tcp-relay"]),
        "no-dtls",
        # each of these makes answers longer than questions, which is what amplification attacks want
        "no-rfc5780",
        "no-stun-backward-compatibility",
        "response-origin-only-with-rfc5780",
        "no-software-attribute",
        "no-dynamic-ip-list",
        "no-dynamic-realms",
    ]


def _running(options: CoturnOptions) -> list[str]:
    lines = ["log-file=stdout", "simple-log", "new-log-timestamp"]
    if options.pid_file is not None:
        lines.append(f"pidfile={options.pid_file}")
    if options.user is not None:
        lines += [f"proc-user={options.user}", f"proc-group={options.user}"]
    return lines


def turn_addresses(host: str, options: CoturnOptions) -> list[str]:
    """The ``turn_urls`` of such a server, best way first.

    Args:
        host: Its public name or address.
        options: What it does.
    """
    name = f"[{host}]" if ":" in host else host
    urls = [f"turn:{name}:{options.port}?transport={transport}" for transport in ("udp", "tcp")]
    if options.certificate is not None:
        urls.append(f"turns:{name}:{options.tls_port}?transport=tcp")
    return urls


def parse_addresses(texts: Iterable[str]) -> tuple[Address, ...]:
    """IP addresses from text.

    Raises:
        ValueError: One is none.
    """
    found = []
    for text in texts:
        try:
            found.append(ip_address(text.strip()))
        except ValueError:
            raise ValueError(f"{text[:100]!r} is not an IP address") from None
    return tuple(found)
