"""The embedded synthesiser: eSpeak NG with the voices of its PyPI package, about 130 languages and accents.

The library keeps its state in globals, has crashed on strange texts before, and is under the GPL; so it is loaded by
processes of its own (:mod:`.worker`) and never by the server. The server's side is a pool of them (:mod:`.pool`).
"""

from antiphon.speech.engines.espeak.engine import EspeakSynthesiser

__all__ = ["EspeakSynthesiser"]
