"""Settings come from flags, variables and a file, are checked, and keep their secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from antiphon.server.config import Settings, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_names_count_on_loopback_without_keys_alone() -> None:
    assert Settings().known_hosts == ()
    assert Settings(allowed_hosts="a.example, b.example").known_hosts == ("a.example", "b.example")
    assert Settings(api_keys="0123456789abcdef").known_hosts is None
    assert Settings(host="0.0.0.0", insecure=True).known_hosts is None
    for wrong in ("https://a.example", "a.example:80", "*"):
        with pytest.raises(ValidationError, match="not the name of a host"):
            Settings(allowed_hosts=wrong)


def test_defaults_listen_on_loopback_only() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.engine) == ("127.0.0.1", 8080, "pocketsphinx")


def test_flags_beat_variables_and_variables_beat_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "antiphon.toml"
    file.write_text('port = 1001\nlanguage = "en"\nmax_streams = 7\n')
    monkeypatch.setenv("ANTIPHON_PORT", "1002")
    monkeypatch.setenv("ANTIPHON_MAX_STREAMS", "8")
    settings = load_settings(port=1003)
    assert (settings.port, settings.max_streams, settings.language) == (1003, 8, "en")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no settings file"):
        load_settings(tmp_path / "none.toml")


def test_an_unknown_setting_in_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text("prot = 1\n")
    with pytest.raises(ValidationError, match="prot"):
        load_settings(file)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_listening_beyond_loopback_needs_a_key_or_a_word(host: str) -> None:
    with pytest.raises(ValidationError, match="--insecure"):
        load_settings(host=host)
    assert load_settings(host=host, insecure=True).host == host
    assert load_settings(host=host, api_keys="0123456789abcdef").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_neither(host: str) -> None:
    assert load_settings(host=host).host == host


def test_secrets_are_masked_wherever_settings_are_shown() -> None:
    settings = load_settings(api_keys="0123456789abcdef,fedcba9876543210", turn_secret="0123456789abcdef")
    assert settings.masked()["turn_secret"] == "********"
    assert load_settings().masked()["turn_secret"] == ""
    assert len(settings.api_keys) == 2
    assert settings.masked()["api_keys"] == ["********", "********"]
    assert "0123456789abcdef" not in f"{settings!r}{settings.masked()}"


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("api_keys", "short", "at least 16 characters"),
        ("port", 70_000, "less than or equal to 65535"),
        ("object_store", "/srv/audio", "must be a URL"),
        ("max_streams", 0, "greater than or equal to 1"),
        ("stun_urls", "turn.example.org", "write it like"),
        ("stun_urls", "turn:turn.example.org", "belongs into turn_urls"),
        ("turn_urls", "stun:turn.example.org", "belongs into stun_urls"),
        ("turn_urls", "turn:turn.example.org", "need turn_secret"),
        ("turn_secret", "short", "at least 16 characters"),
        ("turn_secret", "sixteen characters and spaces", "without spaces"),
        ("turn_ttl", 59, "greater than or equal to 60"),
    ],
)
def test_wrong_values_say_what_is_right(flag: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        load_settings(**{flag: value})


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_no_ice_server_is_named_unless_it_is_set() -> None:
    settings = load_settings()
    assert (settings.stun_urls, settings.turn_urls) == ((), ())


def test_ice_servers_come_as_a_list_with_commas() -> None:
    urls = "turn:turn.example.org:3478?transport=udp,turns:turn.example.org:5349?transport=tcp"
    settings = load_settings(turn_urls=urls, turn_secret="0123456789abcdef", stun_urls="stun:turn.example.org")
    assert settings.turn_urls == tuple(urls.split(","))
    assert settings.stun_urls == ("stun:turn.example.org",)


def test_media_take_a_free_port_where_http_does() -> None:
    assert load_settings().media_port == 8189
    assert load_settings(port=0).media_port == 0
    assert load_settings(rtc_port=9000).media_port == 9000
    assert load_settings(port=0, rtc_port=9000).media_port == 9000
    assert load_settings(port=8080, rtc_port=0).media_port == 0


def test_candidates_carry_addresses_and_no_names() -> None:
    assert load_settings(rtc_announce="192.0.2.1, 2001:db8::1").rtc_announce == ("192.0.2.1", "2001:db8::1")
    with pytest.raises(ValidationError, match="is not an IP address"):
        load_settings(rtc_announce="voice.example.org")


def test_a_media_folder_has_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "media").mkdir()
    assert load_settings(media_folder="~/media").media_folder == str(tmp_path / "media")
    assert load_settings().media_folder == ""
    with pytest.raises(ValidationError, match="is not a folder; make it"):
        load_settings(media_folder=str(tmp_path / "none"))
