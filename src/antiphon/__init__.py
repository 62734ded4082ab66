"""Antiphon: a self-hosted real-time voice server and library.

The server is started with ``antiphon serve``; :mod:`antiphon.client` talks to one, :mod:`antiphon.speech`
holds the recogniser interface that engines implement, and :mod:`antiphon.testing` the doubles for tests.
"""

from antiphon._version import __version__

__all__ = ["__version__"]
