"""State behind small interfaces: the event logs of sessions, and how often each name may do something."""

from antiphon.state.memory import MemoryStore
from antiphon.state.rates import MemoryWindows, RateWindows
from antiphon.state.store import Store

__all__ = ["MemoryStore", "MemoryWindows", "RateWindows", "Store"]
