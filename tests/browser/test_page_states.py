"""What the page says and does where something stands in the way; and that it can be used by everybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from browser.kit import Browser, CaptionsPage, relay
from support.audio import SPEECH, transcripts, wav
from support.server import SCRIPTED, ServerProcess, start_server

pytestmark = pytest.mark.browser

FOX = "quick-brown-fox.wav"
PHONE = (360, 740)
KEY = "open-sesame-to-this-server"


async def test_a_microphone_that_is_refused_tells_how_to_allow_it_and_a_file_still_works(
    browser: Browser, hearing: ServerProcess
) -> None:
    page = await browser.open(hearing.url, allowed=False)
    await page.toggle.click()
    await expect(page.alert).to_contain_text("The browser was not allowed to listen")
    await expect(page.alert).to_contain_text("allow the sound for this page, and press Start again")
    await page.phase("idle")
    await page.shot("refused")
    await page.choose("file").click()
    await expect(page.alert).to_have_count(0)
    await page.page.set_input_files("#file", SPEECH / FOX)
    await page.toggle.click()
    await page.hears(transcripts()[FOX])


async def test_an_address_without_encryption_is_named_as_the_cause(browser: Browser, hearing: ServerProcess) -> None:
    url = f"http://captions.test:{hearing.port}"
    page = await browser.open(url, flags=["--host-resolver-rules=MAP captions.test 127.0.0.1"])
    await page.hint("not secure enough for a microphone")
    await page.toggle.click()
    await expect(page.alert).to_contain_text("https://")
    await page.shot("insecure")


async def test_a_full_server_is_told_at_once(browser: Browser) -> None:
    with start_server(*SCRIPTED, "--max-streams", "1", "--shutdown-grace", "0") as server:
        first = await browser.open(server.url)
        await first.toggle.click()
        await first.phase("live")
        second = await browser.another(first.page.context, server.url)
        await second.toggle.click()
        await expect(second.alert).to_contain_text("The server is full")
        await expect(second.toggle).to_have_text("Start")
        await second.shot("full")
        await expect(second.state).to_have_text("Ready")
        await expect(first.state).to_contain_text("Live")


async def test_a_server_that_is_away_is_named_as_the_cause_and_found_again(browser: Browser) -> None:
    with start_server(*SCRIPTED) as server:
        page = await browser.open(server.url)
        server.kill()
        await page.toggle.click()
        await expect(page.alert).to_contain_text("The server could not be reached")
        await page.phase("idle")
        with server.restarted():
            await page.toggle.click()
            await page.phase("live")
            await expect(page.alert).to_have_count(0)
            await page.finish()


async def test_a_long_wait_for_the_server_can_be_cut_short(browser: Browser, hearing: ServerProcess) -> None:
    async with relay(hearing.port) as line:
        page = await browser.open(line.url)
        await page.page.evaluate("() => { Math.random = () => 1; }")  # each wait as long as it can be
        await page.toggle.click()
        await page.phase("live")
        await line.cut()
        await expect(page.state).to_have_text("Reconnecting in 4 s")
        line.mend()
        before = len(await page.seen("states"))
        await page.page.get_by_role("button", name="Retry now").click()
        await page.phase("live")
        assert "Reconnecting in 1 s" not in (await page.seen("states"))[before:]
        await expect(page.toggle).to_be_focused()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("notes.txt", b"no sound at all\n" * 100, "This is not audio that the server can read"),
        ("empty.wav", b"", "The file is empty"),
        ("archive.wav", b"PK\x03\x04" + bytes(2000), "This is not audio that the server can read"),
    ],
    ids=["text", "empty", "zip named wav"],
)
async def test_a_file_that_is_no_audio_is_refused_with_the_reason(
    browser: Browser, hearing: ServerProcess, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    page = await browser.open(hearing.url)
    await page.choose("file").click()
    await page.page.set_input_files("#file", path)
    await page.toggle.click()
    await expect(page.alert).to_contain_text(says)
    await expect(page.state).to_have_text("Failed")


async def test_without_a_file_the_page_asks_for_one(browser: Browser, hearing: ServerProcess) -> None:
    page = await browser.open(hearing.url)
    await page.choose("file").click()
    await page.toggle.click()
    await expect(page.alert).to_contain_text("No file is chosen")
    await expect(page.page.locator("#file")).to_be_focused()


async def test_a_server_with_keys_is_given_one(browser: Browser) -> None:
    with start_server(*SCRIPTED, "--api-keys", KEY) as server:
        page = await browser.open(server.url)
        await page.hint("asks for an access key")
        await page.page.get_by_label("Access key of this server").fill(KEY)
        await page.toggle.click()
        await page.phase("live")
        await page.finish()


async def test_a_browser_that_does_not_convert_sample_rates_is_converted_for(
    browser: Browser, hearing: ServerProcess
) -> None:
    page = await browser.open(hearing.url, speech=SPEECH / FOX)
    await page.page.evaluate(
        """() => {
          const create = AudioContext.prototype.createMediaStreamSource;
          AudioContext.prototype.createMediaStreamSource = function (stream) {
            if (this.sampleRate === 16000) throw new DOMException("as Firefox does", "NotSupportedError");
            return create.call(this, stream);
          };
        }"""
    )
    await page.toggle.click()
    await page.hears(transcripts()[FOX])


async def test_a_microphone_that_is_pulled_out_ends_the_session_with_its_words(
    browser: Browser, hearing: ServerProcess
) -> None:
    page = await browser.open(hearing.url, speech=SPEECH / FOX)
    await page.page.evaluate(
        """() => {
          const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          navigator.mediaDevices.getUserMedia = async (wanted) => {
            window.microphone = await open(wanted);
            return window.microphone;
          };
        }"""
    )
    await page.toggle.click()
    await page.partial()
    await page.page.evaluate("() => window.microphone.getTracks()[0].dispatchEvent(new Event('ended'))")
    await page.phase("ended")
    await expect(page.alert).to_contain_text("The microphone was disconnected")
    assert await page.words() != ""


async def test_a_microphone_that_gives_nothing_but_silence_is_noticed(
    browser: Browser, hearing: ServerProcess, tmp_path: Path
) -> None:
    silence = tmp_path / "silence.wav"
    silence.write_bytes(wav(bytes(3200)))
    page = await browser.open(hearing.url, speech=silence)
    await page.toggle.click()
    await page.hint("Nothing but silence is arriving")
    await page.finish()
    await expect(page.hints).to_have_count(0)


async def focused(page: CaptionsPage) -> dict[str, str]:
    """What has the focus, and whether it shows."""
    found: dict[str, str] = await page.page.evaluate(
        """() => {
          const active = document.activeElement;
          const shows = (node) => node !== null && getComputedStyle(node).outlineStyle !== "none"
            && parseFloat(getComputedStyle(node).outlineWidth) >= 2;
          const label = active.closest("label");
          return {
            id: active.id || active.value || active.textContent.trim(),
            visible: String(shows(active) || shows(label)),
          };
        }"""
    )
    return found


async def test_everything_can_be_done_with_the_keyboard_alone_and_the_focus_shows(
    browser: Browser, hearing: ServerProcess
) -> None:
    page = await browser.open(hearing.url, speech=SPEECH / FOX)
    keys = page.page.keyboard
    stops: list[dict[str, str]] = []
    while not stops or stops[-1]["id"] != "toggle":
        await keys.press("Tab")
        stops.append(await focused(page))
        assert len(stops) < 20, stops
    before = ["Skip to the captions", "Captions", "Rooms", "Listen"]
    assert [stop["id"] for stop in stops] == [*before, "microphone", "device", "language", "toggle"]
    assert {stop["visible"] for stop in stops} == {"true"}

    await keys.press("Enter")
    await page.hears(transcripts()[FOX])
    await expect(page.toggle).to_be_focused()
    await keys.press("Enter")
    await page.phase("ended")
    await expect(page.toggle).to_be_focused()

    await keys.press("Tab")
    await expect(page.page.locator("#captions")).to_be_focused()
    await keys.press("Tab")
    async with page.page.expect_download() as started:
        await keys.press("Enter")
    assert (await started.value).suggested_filename.endswith(".txt")

    for _ in range(5):
        await keys.press("Shift+Tab")
    await expect(page.page.locator("input[value=microphone]")).to_be_focused()
    await keys.press("ArrowLeft")
    await expect(page.page.locator("input[value=file]")).to_be_checked()
    await keys.press("Tab")
    await expect(page.page.locator("#file")).to_be_focused()


async def test_each_control_has_a_name(browser: Browser, hearing: ServerProcess) -> None:
    page = await browser.open(hearing.url)
    controls: list[tuple[Any, str]] = [
        ("radio", "Microphone"),
        ("radio", "Tab audio"),
        ("radio", "File"),
        ("combobox", "Microphone"),
        ("combobox", "Language"),
        ("button", "Start"),
        ("meter", "Level of the sound"),
        ("region", "Captions"),
        ("log", "Finished captions"),
    ]
    for role, name in controls:
        await expect(page.page.get_by_role(role, name=name, exact=True)).to_have_count(1)
    await page.choose("file").click()
    await expect(page.page.get_by_label("Audio or video file")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, (1280, 800)], ids=["phone", "desktop"])
async def test_nothing_is_wider_than_the_window(
    browser: Browser, hearing: ServerProcess, size: tuple[int, int], dark: bool
) -> None:
    look = f"{size[0]}-{'dark' if dark else 'light'}"
    page = await browser.open(hearing.url, speech=SPEECH / "two-utterances.wav", size=size, dark=dark)

    async def fits(state: str) -> None:
        await page.shot(f"{look}-{state}")
        assert await page.overflow() == 0, state

    await fits("idle")
    await page.toggle.click()
    await page.partial()
    await fits("live")
    await expect(page.toggle).to_be_in_viewport()
    await page.hears(transcripts()["two-utterances.wav"])
    await page.finish()
    await fits("ended")
    await expect(page.finals.last).to_be_in_viewport()
    await page.choose("file").click()
    await page.toggle.click()
    await expect(page.alert).to_be_in_viewport()
    await fits("error")


async def test_a_long_word_and_a_long_transcript_stay_inside_and_the_newest_words_in_sight(
    browser: Browser, hearing: ServerProcess
) -> None:
    page = await browser.open(hearing.url, size=PHONE)
    await page.page.evaluate(
        """async () => {
          const { Transcript } = await import("/static/transcript.js");
          const { CaptionsView } = await import("/static/captions.js");
          const at = (id) => document.getElementById(id);
          const view = new CaptionsView({
            scroll: at("captions"), lines: at("lines"), partials: at("partials"), latest: at("latest")
          });
          const transcript = new Transcript();
          document.body.toggleAttribute("data-words", true);
          for (let i = 0; i < 200; i++) {
            transcript.apply({
              resultId: String(i), text: i % 3 ? "a line of words" : "x".repeat(200), isPartial: false,
              start: i * 20, end: i * 20 + 1, language: "en-US", speaker: null, words: [],
            });
            view.show(transcript, "");
          }
        }"""
    )
    assert await page.overflow() == 0
    await expect(page.finals.last).to_be_in_viewport()
    await page.page.locator("#captions").evaluate("box => box.scrollTo(0, 0)")
    await expect(page.finals.first).to_be_in_viewport()


@pytest.mark.parametrize("still", [False, True], ids=["moving", "still"])
async def test_the_level_moves_along_the_stave_only_where_motion_is_wanted(
    browser: Browser, hearing: ServerProcess, still: bool
) -> None:
    page = await browser.open(hearing.url, speech=SPEECH / FOX, still=still)
    await page.toggle.click()
    await page.partial()
    await page.shot("still" if still else "moving")
    # notes are opaque and the lines are not; new notes come in at the right, the bar begins at the left
    at_the_left = await page.page.locator("#level").evaluate(
        """level => {
          const scale = level.width / level.clientWidth;
          const { data } = level.getContext("2d").getImageData(34 * scale, 0, 150 * scale, level.height);
          return data.some((value, i) => i % 4 === 3 && value === 255);
        }"""
    )
    assert at_the_left is still
