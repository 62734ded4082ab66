"""Finding engines: by entry point, or by ``package.module:Class``."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from antiphon.errors import EngineUnavailable, UnsupportedFormat
from antiphon.speech.recogniser import EngineOptions, Recogniser

RECOGNISER_GROUP = "antiphon.recognisers"


def recogniser_names() -> list[str]:
    """The names of the recognisers that are installed."""
    return sorted({entry.name for entry in entry_points(group=RECOGNISER_GROUP)})


def recogniser_class(name: str) -> type[Recogniser]:
    """The class of an engine.

    Args:
        name: A registered name, or ``package.module:Class``.

    Raises:
        EngineUnavailable: There is no such engine, or importing it failed.
    """
    try:
        if ":" in name:
            module, _, attribute = name.partition(":")
            found = getattr(import_module(module), attribute)
        else:
            entries = [entry for entry in entry_points(group=RECOGNISER_GROUP) if entry.name == name]
            if not entries:
                raise EngineUnavailable(
                    f"there is no recogniser {name!r}; installed are: {', '.join(recogniser_names()) or 'none'}"
                )
            found = entries[0].load()
    except (ImportError, AttributeError) as fault:
        raise EngineUnavailable(f"the recogniser {name!r} cannot be imported: {fault}") from fault
    if not (isinstance(found, type) and issubclass(found, Recogniser)):
        raise EngineUnavailable(f"{name!r} is not a Recogniser class")
    return found


def create_recogniser(name: str, options: EngineOptions) -> Recogniser:
    """Make the engine `name`; it still has to be started."""
    return recogniser_class(name).create(options)


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
