"""What the SDK captures is what the server hears: in order, once, complete, whatever the codec."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page

from antiphon.media.opus import OpusDecoder
from browser.hidden import tab
from browser.kit import ALWAYS_ALLOWED, FAKE_DEVICE, Browser, chromium
from browser.sdk import LOAD, RATE, hearing_tones, hears, sdk_page, tone_track, words
from support.server import ServerProcess
from support.words import NotUnderstood, until_understood

pytestmark = pytest.mark.browser

UP = tuple(range(24))
EVEN, ODD = tuple(range(0, 24, 2)), tuple(range(1, 24, 2))
TITLE = "A tab with tones"
SHARED = (f"--auto-select-tab-capture-source-by-title={TITLE}", "--autoplay-policy=no-user-gesture-required")


@pytest.fixture(scope="module")
def tones() -> Iterator[ServerProcess]:
    """A server that hears tones."""
    yield from hearing_tones()


@pytest.mark.parametrize(
    ("codec", "rate"),
    [("pcm_s16le", 16_000), ("pcm_s16le", 24_000), ("pcm_s16le", 48_000), ("opus", 48_000), ("webm", 48_000)],
)
async def test_a_sweep_of_tones_comes_out_in_order_once_and_complete(
    browser: Browser, tones: ServerProcess, tmp_path: Path, codec: str, rate: int
) -> None:
    async with sdk_page(browser, tones.url, speech=tone_track(tmp_path / "up.wav", UP)) as page:
        sent = await page.evaluate(
            """async ([codec, sampleRate]) => {
              window.levels = [];
              window.capture = new AudioCapture({ codec, sampleRate, preset: "music" });
              capture.on("level", ({ level }) => levels.push(level));
              await capture.start();
              window.stream = send(capture, "all");
              return capture.format;
            }""",
            [codec, rate],
        )
        assert (sent["codec"], sent["sampleRate"], sent["channels"]) == (codec, rate, 1)
        await hears(page, "all", UP)
        levels = await page.evaluate("() => [Math.min(...levels), Math.max(...levels)]")
        assert levels[0] < 0.01
        assert 0.1 < levels[1] <= 1
        await leave(page)


async def test_a_page_that_is_busy_and_a_bitrate_that_changes_lose_no_frame_and_make_none_up(
    browser: Browser, tones: ServerProcess, tmp_path: Path
) -> None:
    async with sdk_page(browser, tones.url, speech=tone_track(tmp_path / "up.wav", UP)) as page:
        await page.evaluate(
            """async () => {
              window.capture = new AudioCapture({ codec: "opus", preset: "music" });
              window.counts = { levels: 0, packets: 0 };
              capture.on("level", () => counts.levels++);
              capture.on("frame", ({ index }) => {
                if (index !== counts.packets++) throw new Error(`packet ${index} after ${counts.packets - 2}`);
              });
              await capture.start();
              window.stream = send(capture, "all");
              stream.on("transcript", () => {
                capture.setBitrate(16000 + 8000 * (heard.all.length % 5));
                const begun = performance.now();
                while (performance.now() - begun < 150); // in the way of everything
              });
            }"""
        )
        await hears(page, "all", UP)
        await page.evaluate("async () => { await capture.stop(); stream.leave(); }")
        counts = await page.evaluate("() => counts")
        assert counts["packets"] == counts["levels"] + 1  # the one in which the last frame ends
        assert await page.evaluate("() => capture.dropped") == 0


# Three seconds of a sine, with another bitrate each half second.
CHANGING = """
async () => {
  const context = new AudioContext({ sampleRate: 48000 });
  const sine = new OscillatorNode(context, { frequency: 500 });
  const out = context.createMediaStreamDestination();
  sine.connect(new GainNode(context, { gain: 0.4 })).connect(out);
  sine.start();
  const capture = new AudioCapture({ source: { me: out.stream }, codec: "opus" });
  const packets = [];
  const enough = new Promise((resolve) => capture.on("frame", ({ data }) => {
    packets.push(btoa(String.fromCharCode(...data)));
    if (packets.length % 25 === 0) capture.setBitrate(packets.length % 50 === 0 ? 32000 : 64000);
    if (packets.length === 150) resolve();
  }));
  await capture.start();
  await enough;
  await capture.stop();
  return packets;
}
"""


async def test_another_bitrate_leaves_no_hole_in_the_sound(browser: Browser, tones: ServerProcess) -> None:
    async def change_and_listen() -> None:
        async with sdk_page(browser, tones.url) as page:
            see_that_it_goes_on([base64.b64decode(packet) for packet in await page.evaluate(CHANGING)])

    # on a busy machine the browser's own sine may have a gap, and that at a change
    await until_understood(change_and_listen)


def see_that_it_goes_on(packets: list[bytes]) -> None:
    """The sine is as loud around each change as it is elsewhere.

    Raises:
        NotUnderstood: There is a hole.
    """
    decoder = OpusDecoder(RATE, 1)
    pcm = np.concatenate([np.frombuffer(decoder.decode(packet), "<i2") for packet in packets]) / 32_768
    for change in range(25, 150, 25):
        # of 2 ms each, one turn of the sine, from 40 ms before the first new packet to 40 ms after it
        around = pcm[(change - 2) * 960 : (change + 4) * 960].reshape(-1, 96)
        levels = np.sqrt((around**2).mean(axis=1))
        if levels.min() <= 0.8 * levels.max():
            raise NotUnderstood(f"a hole at packet {change}: {levels.round(3).tolist()}")


async def test_auto_takes_opus_where_the_browser_encodes_it_and_pcm_where_not(
    browser: Browser, tones: ServerProcess
) -> None:
    start = """async () => {
      const capture = new AudioCapture();
      await capture.start();
      const { format } = capture;
      await capture.stop();
      return format;
    }"""
    async with sdk_page(browser, tones.url) as page:
        assert await page.evaluate(start) == {"codec": "opus", "sampleRate": 48_000, "channels": 1, "frameMs": 20}
        await page.evaluate("() => { delete window.AudioEncoder; }")
        assert await page.evaluate(start) == {"codec": "pcm_s16le", "sampleRate": 16_000, "channels": 1, "frameMs": 20}


async def speaking_tab(page: Page, sound: Path) -> Page:
    """Another tab, which plays a file when its ``audio`` element is told to."""
    data = base64.b64encode(sound.read_bytes()).decode()
    other = await page.context.new_page()
    await other.goto(f"data:text/html,<title>{TITLE}</title><audio></audio>")
    await other.evaluate("data => { document.querySelector('audio').src = 'data:audio/wav;base64,' + data; }", data)
    await page.bring_to_front()
    return other


# Chromium pretends to have both a microphone and a screen, or neither: here the screen is real.
MICROPHONE = """(tones) => {
  navigator.mediaDevices.getUserMedia = async () => play(tones.map((tone, i) => [tone, 1 + 0.3 * i, 0.16]));
}"""


async def test_both_sides_kept_apart_are_really_apart(browser: Browser, tones: ServerProcess, tmp_path: Path) -> None:
    async with sdk_page(browser, tones.url, flags=SHARED, allowed=False, fake_device=False) as page:
        other = await speaking_tab(page, tone_track(tmp_path / "theirs.wav", ODD))
        await page.evaluate(MICROPHONE, EVEN)
        await page.evaluate(
            """async () => {
              window.capture = new AudioCapture({ source: "both", arrangement: "apart", codec: "opus" });
              capture.on("ended", ({ source, side, error, left }) =>
                events.push({ type: "ended", source, side, code: error.code, left }));
              await capture.start();
              window.streams = capture.channels.map((channel) => send(capture, channel));
            }"""
        )
        assert await page.evaluate("() => capture.channels") == ["me", "them"]
        await other.evaluate("() => document.querySelector('audio').play()")
        await hears(page, "me", EVEN)
        await hears(page, "them", ODD)
        await other.close()
        await page.wait_for_function("() => events.some(({ type }) => type === 'ended')")
        ended = [event for event in await page.evaluate("() => events") if event["type"] == "ended"]
        assert ended == [{"type": "ended", "source": "tab", "side": "them", "code": "sharing_ended", "left": 1}]
        assert await page.evaluate("() => capture.state") == "running"
        await page.evaluate("async () => { await capture.stop(); for (const stream of streams) stream.leave(); }")


# Tones in turn, so that both sides are heard in the one stream, or in their channel of it.
IN_TURN = """
  const turns = (first) => Array.from({ length: 8 }, (_, i) => [2 * i + first, 1 + 0.6 * i + 0.3 * first, 0.16]);
  const source = { me: play(turns(0)), them: play(turns(1)) };
"""


async def test_both_sides_mixed_are_really_mixed(browser: Browser, tones: ServerProcess) -> None:
    async with sdk_page(browser, tones.url) as page:
        await page.evaluate(
            "async () => {" + IN_TURN + "window.capture = new AudioCapture({ source, codec: 'pcm_s16le' });"
            "await capture.start(); window.stream = send(capture, 'all'); }"
        )
        await hears(page, "all", range(16))
        await leave(page)


async def test_two_channels_hold_a_side_each(browser: Browser, tones: ServerProcess) -> None:
    async with sdk_page(browser, tones.url) as page:
        energies: dict[str, Any] = await page.evaluate(
            "async () => {"
            + IN_TURN
            + """
              const format = { codec: "pcm_s16le", sampleRate: 48000 };
              const capture = new AudioCapture({ source, arrangement: "stereo", ...format });
              const sums = { left: 0, right: 0, both: 0, frames: 0 };
              capture.on("frame", ({ data }) => {
                const samples = new Int16Array(data.buffer, data.byteOffset, data.length / 2);
                let [left, right] = [0, 0];
                for (let i = 0; i < samples.length; i += 2) {
                  left += samples[i] ** 2;
                  right += samples[i + 1] ** 2;
                }
                sums.frames++;
                if (left > 1e9) sums.left++;
                if (right > 1e9) sums.right++;
                if (left > 1e9 && right > 1e9) sums.both++;
              });
              await capture.start();
              const { channels } = capture.format;
              await new Promise((resolve) => setInterval(() => sums.frames > 300 && resolve(), 50));
              await capture.stop();
              return { ...sums, channels };
            }"""
        )
        assert energies["channels"] == 2
        assert energies["left"] > 50
        assert energies["right"] > 50
        assert energies["both"] == 0


async def test_a_tab_that_is_hidden_goes_on_capturing(tones: ServerProcess, tmp_path: Path) -> None:
    executable = chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine")
    sound = tone_track(tmp_path / "up.wav", UP)
    flags = (FAKE_DEVICE, ALWAYS_ALLOWED, f"--use-file-for-fake-audio-capture={sound}%noloop")
    async with tab(executable, flags) as page:
        await page.open(tones.url)
        await page.evaluate(f"({LOAD})()")
        await page.evaluate(
            """(async () => {
              window.capture = new AudioCapture({ preset: "music", codec: "opus" });
              await capture.start();
              window.stream = send(capture, "all");
            })()"""
        )
        await page.hide()
        assert await page.evaluate("heard.all.length") < len(UP) / 2
        await page.until(f"heard.all.length >= {len(UP)}")
        assert await page.evaluate("heard.all") == words(UP)
        assert await page.evaluate("document.visibilityState") == "hidden"


async def test_a_source_that_is_muted_gives_silence_and_time_goes_on(browser: Browser, tones: ServerProcess) -> None:
    async with sdk_page(browser, tones.url) as page:
        await page.evaluate(
            """async () => {
              const context = new AudioContext();
              const source = { me: play([[3, 0, 60]], context) };
              window.capture = new AudioCapture({ source, codec: "pcm_s16le" });
              window.levels = [];
              capture.on("level", ({ level }) => levels.push(level));
              await capture.start();
            }"""
        )
        await page.wait_for_function("() => levels.at(-1) > 0.1")
        await page.evaluate("() => capture.mute('me')")
        await page.wait_for_function("() => levels.slice(-10).every((level) => level === 0)")
        await page.evaluate("() => capture.unmute()")
        await page.wait_for_function("() => levels.at(-1) > 0.1")
        await page.evaluate("() => capture.stop()")
        assert await page.evaluate("() => capture.state") == "stopped"


async def test_an_unplugged_microphone_is_told_and_another_one_taken(browser: Browser, tones: ServerProcess) -> None:
    async with sdk_page(browser, tones.url) as page:
        told: list[Any] = await page.evaluate(
            """async () => {
              const told = [];
              const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
              const opened = [];
              navigator.mediaDevices.getUserMedia = async (how) => {
                const stream = await real(how);
                opened.push(stream);
                return stream;
              };
              const capture = new AudioCapture({ codec: "pcm_s16le" });
              capture.on("ended", ({ source, error, left }) =>
                told.push([source, error.code, error.action !== "", left]));
              const stopped = new Promise((resolve) => capture.on("stopped", resolve));
              await capture.start();
              await capture.changeMicrophone();
              told.push(opened.map((stream) => stream.getTracks()[0].readyState));
              opened[0].getTracks()[0].dispatchEvent(new Event("ended")); // of the one before: says nothing
              opened[1].getTracks()[0].dispatchEvent(new Event("ended")); // what a browser does when it is unplugged
              await stopped;
              told.push(capture.state, opened[1].getTracks()[0].readyState);
              return told;
            }"""
        )
        assert told == [["ended", "live"], ["microphone", "device_gone", True, 0], "stopped", "ended"]


async def test_what_stands_in_the_way_is_named_with_what_to_do(browser: Browser, tones: ServerProcess) -> None:
    attempt = """async (options) => {
      try {
        await new AudioCapture(options).start();
      } catch (error) {
        return [error.name, error.code, error.action !== ""];
      }
    }"""
    async with sdk_page(browser, tones.url, allowed=False) as page:
        assert await page.evaluate(attempt, {}) == ["RtcError", "denied", True]
        await page.evaluate("() => { delete MediaDevices.prototype.getDisplayMedia; }")
        assert await page.evaluate(attempt, {"source": "tab"}) == ["RtcError", "no_tab_capture", True]
    async with sdk_page(browser, tones.url, fake_device=False) as page:
        assert await page.evaluate(attempt, {}) == ["RtcError", "no_device", True]
        assert await page.evaluate("() => AudioCapture.microphones()") == []
    insecure = f"http://sdk.test:{tones.port}"
    async with sdk_page(browser, insecure, flags=["--host-resolver-rules=MAP sdk.test 127.0.0.1"]) as page:
        assert await page.evaluate(attempt, {}) == ["RtcError", "insecure", True]
        assert await page.evaluate("() => AudioCapture.problem('tab')?.code") == "insecure"


async def test_use_in_the_wrong_order_is_told(browser: Browser, tones: ServerProcess) -> None:
    async with sdk_page(browser, tones.url) as page:
        codes = await page.evaluate(
            """async () => {
              const codes = [];
              const note = async (action) => {
                try {
                  await action();
                } catch (error) {
                  codes.push(error.code);
                }
              };
              const capture = new AudioCapture({ codec: "webm" });
              await note(() => capture.format);
              await note(() => capture.stream());
              await note(() => capture.changeMicrophone());
              await capture.stop(); // nothing to stop
              const starting = capture.start();
              await note(() => capture.start());
              await capture.stop(); // while the user is asked
              await note(() => starting);
              await note(() => capture.start());
              const stream = new AudioStreamManager({ format: { codec: "opus" } });
              await note(() => stream.sendAudioData(new Uint8Array(2000)));
              stream.connect();
              await note(() => stream.connect());
              stream.leave();
              codes.push(stream.sendAudioData(new Uint8Array(10)));
              return codes;
            }"""
        )
        assert codes == [
            *["not_started"] * 3,
            "already_started",
            "closed",
            "already_started",
            "bad_audio",
            "already_connected",
            False,
        ]


async def leave(page: Page) -> None:
    """Stop capturing, and have the stream's last words."""
    await page.evaluate("async () => { await capture.stop(); stream.leave(); }")
    await page.wait_for_function("() => stream.state.phase === 'ended'")
    assert await page.evaluate("() => stream.state.reason") == "left"
