"""The embedded recogniser: PocketSphinx with the English model of its PyPI package.

A decoder keeps one core busy for 0.1 to 0.4 of the time that somebody speaks and holds the interpreter lock meanwhile,
so each runs in a process of its own (:mod:`.worker`). The server's side is a pool of them (:mod:`.pool`).
"""

from antiphon.speech.engines.pocketsphinx.engine import PocketSphinxRecogniser

__all__ = ["PocketSphinxRecogniser"]
