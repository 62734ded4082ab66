"""Session state behind one interface: the event logs and who may resume what."""

from antiphon.state.memory import MemoryStore
from antiphon.state.store import Store

__all__ = ["MemoryStore", "Store"]
