"""Segments of the SDK: whole files that follow each other to the sample, and what becomes of them at the server."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from playwright.async_api import Page

from antiphon.media import FileDecoder
from browser.kit import DEADLINE_MS, Browser
from browser.sdk import hearing_tones, sdk_page, server_of_tones, tone_track, words
from support.server import ServerProcess
from support.words import NotUnderstood, until_understood

pytestmark = pytest.mark.browser

RATE = 48_000
HERTZ = 997
UP = tuple(range(24))

# A sine without an end, in segments of two seconds.
RECORD = """
async (count) => {
  const context = new AudioContext({ sampleRate: 48000 });
  const sine = new OscillatorNode(context, { frequency: 997 });
  const gain = new GainNode(context, { gain: 0.4 });
  const out = context.createMediaStreamDestination();
  sine.connect(gain).connect(out);
  sine.start();
  const recorder = new SegmentRecorder({ source: { me: out.stream }, seconds: 2, bitrate: 96000 });
  const segments = [];
  const enough = new Promise((resolve) =>
    recorder.on("segment", (segment) => segments.push(segment) === count && resolve()));
  await recorder.start();
  await enough;
  await recorder.stop();
  const decoded = [];
  for (const { file } of segments) {
    decoded.push((await context.decodeAudioData(file.slice().buffer)).length);
  }
  recorder.close();
  return segments.map(({ file, format, timestamp, duration }, i) => ({
    file: btoa(String.fromCharCode(...file)), format, timestamp, duration, browser: decoded[i],
  }));
}
"""


@pytest.fixture(scope="module")
def tones() -> Iterator[ServerProcess]:
    """A server that hears tones."""
    yield from hearing_tones()


def decode(file: bytes) -> npt.NDArray[np.float64]:
    """All samples of a file, as FFmpeg gives them."""
    blocks = []
    with av.open(io.BytesIO(file)) as container:
        resampler = av.AudioResampler("flt", "mono", RATE)
        for frame in container.decode(audio=0):
            blocks += [part.to_ndarray()[0] for part in resampler.resample(frame)]
        blocks += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.concatenate(blocks).astype(np.float64)


def phase(samples: npt.NDArray[np.float64], at: int) -> float:
    """The phase of the sine at a sample, by the 50 ms from there on."""
    part = samples[at : at + RATE // 20]
    turns = np.exp(-2j * np.pi * HERTZ * np.arange(part.size) / RATE)
    return float(np.angle(np.dot(part * np.hanning(part.size), turns)))


def jump(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> float:
    """Samples that are missing (above 0) or doubled (below) between two pieces of the sine, within half a turn."""
    ends = before[-RATE // 20 - 480 : -480]
    expected = phase(ends, 0) + 2 * np.pi * HERTZ * (ends.size + 480 + 480) / RATE
    turned = (phase(after, 480) - expected + np.pi) % (2 * np.pi) - np.pi
    return float(turned / (2 * np.pi) * RATE / HERTZ)


async def test_segments_follow_each_other_to_the_sample(browser: Browser, tones: ServerProcess) -> None:
    async def record_and_compare() -> None:
        async with sdk_page(browser, tones.url) as page:
            segments: list[dict[str, Any]] = await page.evaluate(RECORD, 3)
        assert len(segments) >= 3
        see_that_they_follow(segments)

    # on a busy machine the browser's own sine may have a gap, and that at a seam
    await until_understood(record_and_compare)


def see_that_they_follow(segments: list[dict[str, Any]]) -> None:
    """Each segment is whole, and begins with the sample after the last one of the segment before.

    Raises:
        NotUnderstood: Samples are missing between two, or there is a click.
    """
    files = [base64.b64decode(segment["file"]) for segment in segments]
    decoded = [decode(file) for file in files]
    for segment, samples, file in zip(segments, decoded, files, strict=True):
        wanted = round(segment["duration"] * RATE)
        assert segment["format"] == "webm"
        assert samples.size == wanted
        assert abs(segment["browser"] - wanted) <= RATE / 1000  # Chromium's reader counts in milliseconds
        with FileDecoder(io.BytesIO(file), sample_rate=16_000, max_seconds=60) as ours:
            assert abs(sum(len(block) for block in ours) // 2 - wanted / 3) <= 1
    assert [segment["duration"] for segment in segments[:3]] == [2, 2, 2]
    assert np.diff([segment["timestamp"] for segment in segments[:3]]).tolist() == [2000, 2000]
    for before, after in itertools.pairwise(decoded[:3]):
        # the seam is as smooth as the sine is elsewhere
        seam = np.abs(np.diff(np.concatenate([before[-480:], after[:480]]))).max()
        elsewhere = np.abs(np.diff(before[RATE : 2 * RATE])).max()
        if abs(jump(before, after)) >= 0.5 or seam >= 1.2 * elsewhere:
            raise NotUnderstood(f"a jump of {jump(before, after)} samples, a step of {seam} and elsewhere {elsewhere}")


async def test_without_webcodecs_files_overlap_by_little_and_nothing_is_missing(
    browser: Browser, tones: ServerProcess
) -> None:
    async with sdk_page(browser, tones.url) as page:
        await page.evaluate("() => { delete window.AudioEncoder; }")
        segments: list[dict[str, Any]] = await page.evaluate(RECORD, 3)
    decoded = [decode(base64.b64decode(segment["file"])) for segment in segments]
    assert sum(samples.size for samples in decoded[:3]) >= 6 * RATE - RATE // 50
    for samples in decoded[:3]:
        assert 1.9 * RATE < samples.size < 2.5 * RATE


async def record(page: Page, **options: Any) -> None:
    """Record what the microphone hears, and keep what is told."""
    await page.evaluate(
        """async (options) => {
          window.told = [];
          window.recorder = new SegmentRecorder({ preset: "music", ...options });
          for (const type of ["accepted", "skipped", "rejected", "waiting", "lost", "transcription", "error"]) {
            recorder.on(type, (detail) => told.push({ type, ...detail }));
          }
          await recorder.start();
        }""",
        options,
    )


async def all_told(page: Page, kind: str) -> list[Any]:
    """What was told of one type."""
    found: list[Any] = await page.evaluate("kind => told.filter(({ type }) => type === kind)", kind)
    return found


async def test_the_server_hears_every_segment_and_all_that_is_in_them(
    browser: Browser, tones: ServerProcess, tmp_path: Path
) -> None:
    async with sdk_page(browser, tones.url, speech=tone_track(tmp_path / "up.wav", UP)) as page:
        await record(page, seconds=3)
        await page.wait_for_function(
            "() => told.some(({ type, text }) => type === 'transcription' && text.includes('t23'))",
            timeout=2 * DEADLINE_MS,
        )
        await page.evaluate("() => recorder.stop()")
        heard = [word for told in await all_told(page, "transcription") for word in told["text"].split()]
        # a tone on the seam of two files may be heard in both
        assert [word for word, _ in itertools.groupby(heard)] == words(UP)
        assert await all_told(page, "error") == await all_told(page, "lost") == []
        await page.evaluate("() => recorder.close()")


async def test_who_sends_more_than_the_server_takes_waits_as_long_as_it_says(browser: Browser) -> None:
    with server_of_tones("--segments-per-minute", "2") as server:
        async with sdk_page(browser, server.url) as page:
            await record(page, seconds=1)
            await page.wait_for_function("() => told.some(({ type }) => type === 'waiting')", timeout=DEADLINE_MS)
            (waiting, *_) = await all_told(page, "waiting")
            assert waiting["delay"] > 1000
            assert len(await all_told(page, "accepted")) == 2
            assert await page.evaluate("() => recorder.waiting") >= 1
            assert await page.evaluate("() => told.find(({ type }) => type === 'waiting').error.code") == "rate_limited"
            await page.evaluate("() => recorder.close()")


async def test_a_server_that_comes_back_gets_what_was_recorded_meanwhile(browser: Browser, tmp_path: Path) -> None:
    server = server_of_tones()
    try:
        async with sdk_page(browser, server.url, away=True, speech=tone_track(tmp_path / "up.wav", UP)) as page:
            await record(page, seconds=2)
            await page.wait_for_function("() => told.some(({ type }) => type === 'accepted')", timeout=DEADLINE_MS)
            server.kill()
            await page.wait_for_function("() => recorder.waiting >= 2", timeout=DEADLINE_MS)
            server = server.restarted()
            await page.wait_for_function(
                "() => told.some(({ type, text }) => type === 'transcription' && text.includes('t23'))",
                timeout=2 * DEADLINE_MS,
            )
            accepted = {told["segment"]["timestamp"] for told in await all_told(page, "accepted")}
            assert len(accepted) == len(await all_told(page, "accepted"))
            stamps = sorted(accepted)
            assert np.diff(stamps).tolist() == [2000] * (len(stamps) - 1)  # none is missing
            await page.evaluate("() => recorder.close()")
    finally:
        server.kill()
