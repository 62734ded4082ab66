"""The live-captions page in a real browser, before the real server: what is said is what is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.async_api import expect

from browser.kit import DEADLINE_MS, Browser, CaptionsPage, join_speech, relay
from support.audio import SPEECH, transcripts
from support.server import ServerProcess, start_server

pytestmark = pytest.mark.browser

FOX = "quick-brown-fox.wav"
FOX_WORDS = transcripts()[FOX]


def similar_words(partial: str, final: str) -> bool:
    """Whether a partial is on the way to the final: it has words of it."""
    return bool(set(partial.split()) & set(final.split()))


async def test_spoken_words_are_pale_while_they_come_and_solid_once_they_are_certain(
    browser: Browser, hearing: ServerProcess
) -> None:
    page = await browser.open(hearing.url, speech=SPEECH / FOX)
    await page.shot("idle")
    await page.toggle.click()
    await page.partial()
    await page.shot("live-partial")
    await page.hears(FOX_WORDS)
    await page.shot("live-final")
    final_colour = await page.finals.first.evaluate("words => getComputedStyle(words).color")
    partials = await page.seen("partials")
    assert partials
    assert all(colour != final_colour for _, colour in partials)
    assert any(similar_words(text, FOX_WORDS) for text, _ in partials)
    assert any(state.startswith("Live") for state in await page.seen("states"))
    levels = await page.seen("levels")
    assert min(levels) < -50 < -30 < max(levels)
    await page.finish()
    assert await page.words() == FOX_WORDS
    assert page.console == []


async def test_only_finals_are_read_out_and_each_of_them_once(browser: Browser, hearing: ServerProcess) -> None:
    page = await browser.open(hearing.url, speech=SPEECH / "two-utterances.wav")
    await page.toggle.click()
    await page.hears(transcripts()["two-utterances.wav"])
    await page.finish()
    log = page.page.get_by_role("log")
    await expect(log).to_have_attribute("aria-live", "polite")
    assert await log.locator("li").count() == 2
    assert await page.page.locator("[aria-live] #partials").count() == 0
    await expect(page.page.locator("#partials")).to_have_attribute("aria-live", "off")


async def test_stopping_in_mid_speech_brings_what_was_said_until_then(browser: Browser, hearing: ServerProcess) -> None:
    page = await browser.open(hearing.url, speech=SPEECH / FOX)
    await page.toggle.click()
    await page.page.wait_for_function(
        """() => document.querySelector("#partials")?.textContent.includes("quick brown fox")"""
    )
    await page.finish()
    assert "quick brown fox" in await page.words()
    await expect(page.partials).to_have_count(0)
    await expect(page.toggle).to_have_text("Start")


async def test_starting_again_goes_on_below_with_times_that_go_on_too(browser: Browser, hearing: ServerProcess) -> None:
    page = await browser.open(hearing.url, speech=SPEECH / "go-forward.wav")
    words = transcripts()["go-forward.wav"]
    for said in (words, f"{words} {words}"):
        await page.toggle.click()
        await page.hears(said)
        await page.finish()
    download = await downloaded(page, "JSON")
    first, second = json.loads(download)["results"]
    assert second["start"] >= first["end"]


async def test_a_connection_cut_in_mid_speech_is_resumed_and_no_word_is_missing(
    browser: Browser, hearing: ServerProcess, tmp_path: Path
) -> None:
    names = [FOX, "tomorrow-morning.wav"]
    speech = join_speech(tmp_path / "long.wav", names)
    async with relay(hearing.port) as line:
        page = await browser.open(line.url, speech=speech)
        await page.toggle.click()
        await page.partial()
        await line.cut()
        await page.phase("waiting")
        await page.shot("reconnecting")
        line.mend()
        await page.phase("live")
        await page.hears(" ".join(transcripts()[name] for name in names))
        await page.finish()
    assert any(state.startswith("Reconnecting") for state in await page.seen("states"))
    assert await page.hints.count() == 0


async def test_a_server_killed_in_mid_speech_and_started_again_hears_all_the_words(
    browser: Browser, tmp_path: Path
) -> None:
    names = ["go-forward.wav", FOX, "tomorrow-morning.wav"]
    speech = join_speech(tmp_path / "long.wav", names)
    with start_server() as server:
        page = await browser.open(server.url, speech=speech)
        await page.toggle.click()
        await page.hears(transcripts()[names[0]])
        await page.partial()
        server.kill()
        await page.phase("waiting")
        with server.restarted():
            await page.phase("live")
            await page.hint("The server had forgotten this session")
            await page.shot("new-session")
            await page.hears(" ".join(transcripts()[name] for name in names))
            await page.finish()


async def test_a_server_that_stops_properly_says_so_and_the_page_waits_for_it(browser: Browser) -> None:
    with start_server("--shutdown-grace", "0") as server:
        page = await browser.open(server.url, speech=SPEECH / FOX)
        await page.toggle.click()
        await page.partial()
        server.stop()
        await page.phase("waiting", "connecting")
        with server.restarted():
            await page.phase("live")
            # the server cut the utterance in two, maybe in the middle of a word
            await expect(page.finals.last).to_contain_text("lazy dog", timeout=DEADLINE_MS)
            await page.finish()
        await expect(page.alert).to_have_count(0)


async def test_a_file_is_transcribed_with_its_progress_shown(browser: Browser, hearing: ServerProcess) -> None:
    page = await browser.open(hearing.url)
    await page.choose("file").click()
    await page.page.set_input_files("#file", SPEECH / "two-utterances.wav")
    await expect(page.toggle).to_have_text("Transcribe")
    await page.toggle.click()
    await page.hears(transcripts()["two-utterances.wav"])
    await page.phase("ended")
    await expect(page.state).to_have_text("Done")
    states = await page.seen("states")
    assert any(state.startswith("Transcribing") and state.endswith("%") for state in states)
    await page.shot("file-done")
    assert page.console == []


async def test_a_file_can_be_cancelled_and_the_server_lets_go_of_it(
    browser: Browser, hearing: ServerProcess, tmp_path: Path
) -> None:
    long = join_speech(tmp_path / "long.wav", [FOX] * 100)
    page = await browser.open(hearing.url)
    await page.choose("file").click()
    await page.page.set_input_files("#file", long)
    async with page.page.expect_response("**/v1/transcribe?*") as answered:
        await page.toggle.click()
    job = (await answered.value).headers["x-antiphon-job"]
    await page.partial()
    await page.shot("file-running")
    async with page.page.expect_response(f"**/v1/transcriptions/{job}") as deleted:
        await page.toggle.click()
    assert (await deleted.value).request.method == "DELETE"
    await page.phase("ended")
    await expect(page.state).to_have_text("Cancelled")
    status = await page.page.request.get(f"{hearing.url}/v1/transcriptions/{job}")
    assert (await status.json())["status"] == "failed"


async def test_an_answer_broken_off_in_the_middle_of_a_file_goes_on_where_it_was(
    browser: Browser, hearing: ServerProcess, tmp_path: Path
) -> None:
    long = join_speech(tmp_path / "long.wav", [FOX] * 8)
    async with relay(hearing.port) as line:
        page = await browser.open(line.url)
        await page.choose("file").click()
        await page.page.set_input_files("#file", long)
        resumed: list[str | None] = []
        page.page.on(
            "request",
            lambda request: (
                resumed.append(request.headers.get("last-event-id")) if "/v1/transcribe/" in request.url else None
            ),
        )
        await page.toggle.click()
        await page.partial()
        await line.cut()
        line.mend()
        await page.hears(" ".join([FOX_WORDS] * 8))
        await page.phase("ended")
        await expect(page.state).to_have_text("Done")
        assert resumed
        assert int(resumed[0] or 0) > 0


async def downloaded(page: CaptionsPage, button: str) -> str:
    """What the browser saves when that button is pressed."""
    async with page.page.expect_download() as started:
        await page.page.get_by_role("button", name=button, exact=True).click()
    download = await started.value
    assert download.suggested_filename.startswith("captions-")
    return (await download.path()).read_text()


async def test_downloads_hold_the_words_in_each_format(browser: Browser, hearing: ServerProcess) -> None:
    page = await browser.open(hearing.url)
    text_button = page.page.get_by_role("button", name="Text", exact=True)
    await expect(text_button).to_be_disabled()
    await page.choose("file").click()
    await page.page.set_input_files("#file", SPEECH / FOX)
    await page.toggle.click()
    await page.phase("ended")

    assert await downloaded(page, "Text") == f"[0:00] {FOX_WORDS}\n"
    srt = await downloaded(page, "SRT")
    assert srt.startswith("1\n00:00:00,")
    assert FOX_WORDS in srt.replace("\n", " ")
    assert (await downloaded(page, "VTT")).startswith("WEBVTT\n\n00:00:00.")
    result = json.loads(await downloaded(page, "JSON"))["results"][0]
    assert result["text"] == FOX_WORDS
    assert [word["word"] for word in result["words"]] == FOX_WORDS.split()
    assert all(word["start"] < word["end"] <= result["end"] for word in result["words"])


async def test_words_that_were_not_saved_are_not_replaced_without_a_warning(
    browser: Browser, hearing: ServerProcess
) -> None:
    page = await browser.open(hearing.url)
    await page.choose("file").click()
    await page.page.set_input_files("#file", SPEECH / FOX)
    await page.toggle.click()
    await page.phase("ended")
    await page.page.set_input_files("#file", SPEECH / "go-forward.wav")
    await page.toggle.click()
    await page.hint("takes the place of the transcript")
    assert await page.words() == FOX_WORDS
    await page.toggle.click()
    await page.hears(transcripts()["go-forward.wav"])


async def test_a_cleared_transcript_can_be_brought_back(browser: Browser, hearing: ServerProcess) -> None:
    page = await browser.open(hearing.url)
    await page.choose("file").click()
    await page.page.set_input_files("#file", SPEECH / FOX)
    await page.toggle.click()
    await page.phase("ended")
    await page.page.get_by_role("button", name="Clear").click()
    await expect(page.finals).to_have_count(0)
    await page.page.get_by_role("button", name="Undo clear").click()
    assert await page.words() == FOX_WORDS
