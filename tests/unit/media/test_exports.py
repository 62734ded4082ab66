"""What ``import antiphon.media`` offers is all there, and says what it is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import antiphon.media


@pytest.mark.parametrize("name", antiphon.media.__all__)
def test_everything_public_is_there_and_described(name: str) -> None:
    member = getattr(antiphon.media, name)
    if inspect.isclass(member) or inspect.isroutine(member):
        assert (member.__doc__ or "").strip(), f"{name} has no docstring"


def test_what_a_part_offers_the_whole_offers() -> None:
    internal = {"MonoResampler", "Samples", "to_s16le"}
    for part in pkgutil.iter_modules(antiphon.media.__path__):
        module = importlib.import_module(f"antiphon.media.{part.name}")
        missing = set(getattr(module, "__all__", ())) - set(antiphon.media.__all__) - internal
        assert not missing, f"antiphon.media.{part.name}"
