"""The version, which is that of the native core: the one place that holds it is ``Cargo.toml``."""

from antiphon._native import __version__

__all__ = ["__version__"]
