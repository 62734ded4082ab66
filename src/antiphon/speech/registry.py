"""Finding engines: by entry point, or by ``package.module:Class``."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from antiphon.errors import EngineUnavailable, UnsupportedFormat
from antiphon.speech.recogniser import EngineOptions, Recogniser
from antiphon.speech.synthesiser import Synthesiser, SynthesiserOptions

RECOGNISER_GROUP = "antiphon.recognisers"
SYNTHESISER_GROUP = "antiphon.synthesisers"


def recogniser_names() -> list[str]:
    """The names of the recognisers that are installed."""
    return _names(RECOGNISER_GROUP)


def synthesiser_names() -> list[str]:
    """The names of the synthesisers that are installed."""
    return _names(SYNTHESISER_GROUP)


def recogniser_class(name: str) -> type[Recogniser]:
    """The class of a recogniser.

    Args:
        name: A registered name, or ``package.module:Class``.

    Raises:
        EngineUnavailable: There is no such engine, or importing it failed.
    """
    found = _load(name, RECOGNISER_GROUP, "recogniser")
    if not (isinstance(found, type) and issubclass(found, Recogniser)):
        raise EngineUnavailable(f"{name!r} is not a Recogniser class")
    return found


def synthesiser_class(name: str) -> type[Synthesiser]:
    """The class of a synthesiser; `name` and errors as for :func:`recogniser_class`."""
    found = _load(name, SYNTHESISER_GROUP, "synthesiser")
    if not (isinstance(found, type) and issubclass(found, Synthesiser)):
        raise EngineUnavailable(f"{name!r} is not a Synthesiser class")
    return found


def create_recogniser(name: str, options: EngineOptions) -> Recogniser:
    """Make the recogniser `name`; it still has to be started."""
    return recogniser_class(name).create(options)


def create_synthesiser(name: str, options: SynthesiserOptions) -> Synthesiser:
    """Make the synthesiser `name`; it still has to be started."""
    return synthesiser_class(name).create(options)


def _names(group: str) -> list[str]:
    return sorted({entry.name for entry in entry_points(group=group)})


def _load(name: str, group: str, kind: str) -> object:
    try:
        if ":" in name:
            module, _, attribute = name.partition(":")
            return getattr(import_module(module), attribute)
        entries = [entry for entry in entry_points(group=group) if entry.name == name]
        if not entries:
            raise EngineUnavailable(f"there is no {kind} {name!r}; installed are: {', '.join(_names(group)) or 'none'}")
        return entries[0].load()
    except (ImportError, AttributeError) as fault:
        raise EngineUnavailable(f"the {kind} {name!r} cannot be imported: {fault}") from fault


def match_language(wanted: str, languages: tuple[str, ...]) -> str:
    """The engine's tag for a language that somebody asked for.

    Case and ``_`` for ``-`` do not matter, and a bare language (``en``) finds its first region.

    Raises:
        UnsupportedFormat: None fits; the message lists those that do.
    """
    tag = wanted.replace("_", "-").lower()
    for language in languages:
        if language.lower() == tag:
            return language
    for language in languages:
        if "-" not in tag and language.lower().partition("-")[0] == tag:
            return language
    raise UnsupportedFormat(
        f"language {wanted[:40]!r} is not known to this engine; it knows {', '.join(languages)}",
        field="language_code",
    )
