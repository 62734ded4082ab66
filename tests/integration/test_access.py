"""Who may come in: origins, keys, and paths that lead nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import socketio
from socketio.exceptions import ConnectionError as Refused

from integration.clients import Inbox, Talker, audio_stream, bystander, raw_socketio
from integration.observe import Message, rss_mb
from support.server import SCRIPTED, ServerProcess, start_server

KEY = "open-sesame-0123456789"
FRIEND = "https://app.example"
EXTENSION = "chrome-extension://emdjfckmfhakpgbhpbcmmgdicnmbnclg"


@pytest.fixture(scope="module")
def locked() -> Iterator[ServerProcess]:
    with start_server(*SCRIPTED, "--api-keys", f"another-key-9876543210,{KEY}") as server:
        yield server


@pytest.fixture(scope="module")
def friendly() -> Iterator[ServerProcess]:
    with start_server(*SCRIPTED, "--cors-origins", f"{FRIEND},https://Other.Example/,{EXTENSION}") as server:
        yield server


# Names


ASKED = {
    "page": ("GET", "/"),
    "static": ("GET", "/static/sdk/index.js"),
    "health": ("GET", "/healthz"),
    "metrics": ("GET", "/metrics"),
    "engine": ("GET", "/v1/engine"),
    "transcribe": ("POST", "/v1/transcribe"),
    "whip": ("POST", "/whip/r1"),
    "whep": ("OPTIONS", "/whep/r1"),
    "polling": ("GET", "/socket.io/?EIO=4&transport=polling"),
    "nothing": ("GET", "/nothing"),
}
CONNECTED = ("/socket.io/?EIO=4&transport=websocket", "/audio-stream", "/ws-audio")


async def asked(url: str, host: str) -> dict[str, bool]:
    """Which doors answer who asks for that host, as a page of it does whose name points here."""
    headers = {"Host": host, "Origin": f"http://{host}"}
    found: dict[str, bool] = {}
    async with aiohttp.ClientSession(headers=headers) as session:
        for name, (method, path) in ASKED.items():
            async with session.request(method, url + path, data=b"R" if method == "POST" else None) as response:
                found[name] = response.status != 403
                if response.status == 403:
                    error: Message = await response.json()
                    assert error["code"] == "forbidden"
                    assert "allowed_hosts" in error["message"]
        for path in CONNECTED:
            try:
                await (await session.ws_connect(url + path)).close()
                found[path] = True
            except aiohttp.WSServerHandshakeError as refused:
                assert refused.status == 403
                found[path] = False
    return found


async def test_a_site_whose_name_points_here_finds_every_door_shut(scripted: ServerProcess) -> None:
    for host in (f"evil.example:{scripted.port}", "evil.example", "127.0.0.1.evil.example"):
        assert not any((await asked(scripted.url, host)).values())
    for host in (f"127.0.0.1:{scripted.port}", f"localhost:{scripted.port}", "page.localhost"):
        assert all((await asked(scripted.url, host)).values())


async def test_a_name_that_is_allowed_is_known(locked: ServerProcess) -> None:
    with start_server(*SCRIPTED, "--allowed-hosts", "voice.example.org") as server:
        assert all((await asked(server.url, "voice.example.org")).values())
        assert not any((await asked(server.url, "evil.example")).values())
    # with keys a name proves nothing
    assert (await asked(locked.url, "evil.example"))["health"]


async def test_who_connects_and_asks_for_nothing_is_cut_off_and_nobody_else_is() -> None:
    dribbled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
    with start_server(*SCRIPTED, "--idle-timeout", "0.5") as server:
        async with bystander(server.url), asyncio.timeout(30):
            for sent, again in ((b"", b""), (b"GET", b""), (dribbled, b"a"), (dribbled + b"1\r\n\r\n", b"")):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(sent)
                with contextlib.suppress(ConnectionError):
                    while not reader.at_eof():
                        writer.write(again)
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(reader.read(4096), 0.05)
                writer.close()


# Origins


async def doors(url: str, origin: str) -> dict[str, bool]:
    """Which doors open for a page of that origin."""
    headers = {"Origin": origin}
    polling = f"{url}/socket.io/?EIO=4&transport=polling"
    found: dict[str, bool] = {}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(polling) as response:
            found["polling"] = response.status == 200
        for name, path in (
            ("socket.io", "/socket.io/?EIO=4&transport=websocket"),
            ("audio-stream", "/audio-stream"),
        ):
            try:
                await (await session.ws_connect(url + path)).close()
                found[name] = True
            except aiohttp.WSServerHandshakeError as refused:
                assert refused.status in (400, 403)
                found[name] = False
        for name, method, path in (
            ("engine", "GET", "/v1/engine"),
            ("ice servers", "GET", "/v1/ice-servers"),
            ("transcribe", "POST", "/v1/transcribe"),
            ("metrics", "GET", "/metrics"),
            ("preflight", "OPTIONS", "/v1/transcriptions"),
        ):
            async with session.request(method, url + path, data=b"R" if method == "POST" else None) as response:
                found[name] = response.status != 403
                if response.status == 403:
                    error: Message = await response.json()
                    assert error["code"] == "forbidden"
                    assert "cors_origins" in error["message"]
                    assert "Access-Control-Allow-Origin" not in response.headers
                elif path.startswith("/v1/"):
                    assert response.headers["Access-Control-Allow-Origin"] == origin
    return found


ALL = {"polling", "socket.io", "audio-stream", "engine", "ice servers", "transcribe", "metrics", "preflight"}


def open_doors(found: dict[str, bool]) -> set[str]:
    assert found.keys() == ALL
    return {name for name, opened in found.items() if opened}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1:PORT.evil.example",
        "http://evil.example/127.0.0.1:PORT",
        "http://127.0.0.1:PORT@evil.example",
        "http://[",
        "http://[::1",
        "://",
        "é",
        EXTENSION,
    ],
)
async def test_pages_of_other_origins_find_every_door_shut(scripted: ServerProcess, origin: str) -> None:
    async with bystander(scripted.url):
        found = await doors(scripted.url, origin.replace("PORT", str(scripted.port)))
    assert open_doors(found) == set()


async def test_the_servers_own_pages_find_every_door_open(scripted: ServerProcess) -> None:
    assert open_doors(await doors(scripted.url, scripted.url)) == ALL


@pytest.mark.parametrize("origin", [FRIEND, "https://other.example", EXTENSION, "OWN"])
async def test_allowed_origins_are_allowed_besides_the_servers_own(friendly: ServerProcess, origin: str) -> None:
    assert open_doors(await doors(friendly.url, friendly.url if origin == "OWN" else origin)) == ALL


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        f"{FRIEND}.evil.example",
        "http://app.example",
        "chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ],
)
async def test_other_origins_than_the_allowed_are_not(friendly: ServerProcess, origin: str) -> None:
    assert open_doors(await doors(friendly.url, origin)) == set()


@pytest.mark.parametrize(("origin", "allowed"), [(FRIEND, True), ("https://evil.example", False)])
async def test_the_sdk_is_for_pages_of_allowed_origins(friendly: ServerProcess, origin: str, allowed: bool) -> None:
    async with (
        aiohttp.ClientSession(headers={"Origin": origin}) as session,
        session.get(f"{friendly.url}/static/sdk/webrtc-manager.js") as response,
    ):
        assert response.status == 200
        assert response.content_type.endswith("/javascript")
        assert response.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)


async def test_every_origin_may_be_allowed() -> None:
    with start_server(*SCRIPTED, "--cors-origins", "*") as server:
        assert open_doors(await doors(server.url, "https://anybody.example")) == ALL


# Keys

WRONG: list[dict[str, str]] = [
    {},
    {"Authorization": "Bearer wrong-wrong-wrong-wrong"},
    {"Authorization": f"Basic {KEY}"},
    {"Authorization": "Bearer"},
    {"Authorization": f"Bearer {KEY}x"},
    {"Authorization": f"Bearer {KEY[:-1]}"},
    {"Authorization": "Bearer é-not-ascii-é-not-ascii"},
]
HTTP = [
    ("GET", "/v1/engine"),
    ("GET", "/v1/ice-servers"),
    ("POST", "/v1/transcribe"),
    ("POST", "/v1/transcriptions"),
    ("GET", "/v1/transcriptions/x"),
    ("DELETE", "/v1/transcriptions/x"),
    ("GET", "/v1/transcribe/x"),
    ("GET", "/v1/sessions/x/events"),
    ("GET", "/v1/nothing"),
    ("GET", "/metrics"),
]


@pytest.mark.parametrize(("method", "path"), HTTP)
async def test_without_the_key_no_path_answers(locked: ServerProcess, method: str, path: str) -> None:
    async with aiohttp.ClientSession() as session:
        for headers in WRONG:
            async with session.request(method, locked.url + path, headers=headers) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == "Bearer"
                error: Message = await response.json()
            assert (error["code"], error["retryable"]) == ("unauthorized", False)
            assert KEY not in error["message"]
        for headers, query in (({"Authorization": f"bearer {KEY}"}, {}), ({}, {"token": KEY})):
            async with session.request(method, locked.url + path, headers=headers, params=query) as response:
                assert response.status != 401


@pytest.mark.parametrize("path", ["/v1/engine", "/metrics", "/audio-stream", "/socket.io/?EIO=4&transport=polling"])
async def test_bytes_that_are_no_text_are_no_key(locked: ServerProcess, path: str) -> None:
    for header in (b"Authorization: Bearer \xff\xfe", b"Origin: http://\xff", b"Origin: http://[\xff"):
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
        status = int((await raw_http(locked, head + header + b"\r\n\r\n")).split(b" ", 2)[1])
        assert status < 500
    assert "Traceback" not in locked.log


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/"])
async def test_what_tells_nothing_needs_no_key(locked: ServerProcess, path: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(locked.url + path) as response:
        assert response.status == 200
        assert KEY not in await response.text()


async def test_socketio_asks_for_the_key(locked: ServerProcess) -> None:
    for auth in (
        None,
        {},
        {"token": None},
        {"token": ""},
        {"token": "x" * 20},
        {"token": 5},
        {"token": [KEY]},
        KEY,
        [KEY],
    ):
        client = socketio.AsyncClient(reconnection=False)
        told: list[Any] = []
        client.on("connect_error", told.append)
        with pytest.raises(Refused):
            await client.connect(locked.url, auth=auth, transports=["websocket"])
        await client.disconnect()
        assert told[0]["data"]["code"] == "unauthorized"
    for transport in ("websocket", "polling"):
        async with Talker(locked.url, [transport], auth={"token": KEY}) as talker:
            await talker.start()
            await talker.stop()


async def test_socketio_takes_the_key_as_a_header(locked: ServerProcess) -> None:
    client = socketio.AsyncClient(reconnection=False)
    inbox = Inbox()
    client.on("connected", lambda data: inbox.put("connected", data))
    await client.connect(locked.url, headers={"Authorization": f"Bearer {KEY}"})
    await inbox.wait("connected")
    await client.disconnect()


async def test_events_before_the_key_is_shown_are_not_served(locked: ServerProcess) -> None:
    async with raw_socketio(locked.url, connect=False) as raw:
        await raw.send('42["start_transcription",{}]')
        await raw.send('40{"token":"wrong"}')
        await raw.wait("44")
        await raw.emit("start_transcription", {})
        await raw.send(f'40{{"token":"{KEY}"}}')
        await raw.wait("connected")
        assert not raw.all("transcription_started")


async def test_audio_stream_asks_for_the_key(locked: ServerProcess) -> None:
    for token in (None, "", "wrong-wrong-wrong-wrong", KEY[:-1], "é" * 20):
        async with audio_stream(locked.url) as stream:
            await stream.send({"type": "join", "token": token})
            assert (await stream.wait("error"))["code"] == "unauthorized"
            assert not stream.all("joined")
            await stream.join(token=KEY)
            await stream.leave()
    for headers in WRONG:
        async with audio_stream(locked.url, headers=headers) as stream:
            await stream.send({"type": "join"})
            assert (await stream.wait("error"))["code"] == "unauthorized"
    async with audio_stream(locked.url, headers={"Authorization": f"Bearer {KEY}"}) as stream:
        await stream.join()
        await stream.leave()


async def test_keys_stay_out_of_the_log(locked: ServerProcess) -> None:
    await test_audio_stream_asks_for_the_key(locked)
    assert KEY not in locked.log
    assert "Traceback" not in locked.log


# Paths


async def raw_http(server: ServerProcess, request: bytes) -> bytes:
    """Send bytes as they are, which no client would; returns the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "path",
    [
        "/static/../pyproject.toml",
        "/static/../../pyproject.toml",
        "/static/%2e%2e/server/app.py",
        "/static/..%2fserver%2fapp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/..\\server\\app.py",
        "/static/",
        "/static",
        "/static/nobody.js",
        "/static/\0",
        "/static/%00",
        "/static/" + "x" * 5_000,
        "/static/%ff%fe",
        "/../etc/passwd",
        "//etc/passwd",
    ],
)
async def test_only_files_of_the_page_are_served(scripted: ServerProcess, path: str) -> None:
    answer = await raw_http(scripted, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    status = int(answer.split(b" ", 2)[1])
    assert status in (400, 403, 404)
    assert b"import" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/transcribe", 405, "bad_message"),
        ("PUT", "/v1/transcriptions", 405, "bad_message"),
        ("GET", "/v1/sessions/nobody/events", 404, "not_found"),
        ("GET", "/v1/sessions/%2e%2e/events", 404, "not_found"),
        ("GET", "/v1/sessions/" + "a" * 3_000 + "/events", 404, "not_found"),
    ],
)
async def test_errors_of_paths_have_the_shape_of_errors(
    scripted: ServerProcess, method: str, path: str, status: int, code: str
) -> None:
    async with aiohttp.ClientSession() as session, session.request(method, scripted.url + path) as response:
        assert response.status == status
        error: Message = await response.json()
        assert (error["code"], error["retryable"]) == (code, False)
        assert len(error["message"]) < 300
        assert status != 405 or response.headers["Allow"]


@pytest.mark.parametrize(
    "request_",
    [
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nX" + b"x" * 100_000,
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/transcribe HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/transcribe HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /audio-stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /audio-stream HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /socket.io/?EIO=4&transport=websocket&sid=nobody HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /socket.io/?EIO=3&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_is_no_request_ends_its_connection_only(scripted: ServerProcess, request_: bytes) -> None:
    async with bystander(scripted.url):
        reader, writer = await asyncio.open_connection("127.0.0.1", scripted.port)
        writer.write(request_)
        writer.write_eof()
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        assert not answer or answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.0 4")


async def test_handshakes_that_never_end_keep_nobody_out(scripted: ServerProcess) -> None:
    before = rss_mb(scripted.pid)
    slow = []
    for n in range(300):
        _, writer = await asyncio.open_connection("127.0.0.1", scripted.port)
        writer.write((b"GET /audio-stream HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"P", b"")[n % 3])
        slow.append(writer)
    async with bystander(scripted.url), audio_stream(scripted.url) as stream:
        for writer in slow:
            writer.write(b"x")
        await stream.join()
        await stream.leave()
        assert rss_mb(scripted.pid) < before + 30
    for writer in slow:
        writer.transport.abort()


async def test_whoever_does_not_join_or_connect_in_time_is_shown_out(scripted: ServerProcess) -> None:
    async with audio_stream(scripted.url) as stream, raw_socketio(scripted.url, connect=False) as raw:
        # pings are no joins
        await stream.send({"type": "ping"})
        await asyncio.gather(stream.wait_closed(), raw.wait_closed())
        error = stream.all("error")[-1]
    assert error["code"] == "bad_message"
    assert "no join came within 10 s" in error["message"]


async def test_the_health_of_the_server_is_plain_to_see(scripted: ServerProcess) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{scripted.url}/healthz") as response:
            assert (await response.json())["status"] == "ok"
        async with session.get(f"{scripted.url}/readyz") as response:
            assert (await response.json())["status"] == "ready"
        async with session.get(f"{scripted.url}/openapi.json") as response:
            paths = json.loads(await response.text())["paths"]
    assert "/v1/transcribe" in paths
