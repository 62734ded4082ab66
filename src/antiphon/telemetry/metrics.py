"""Metrics in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


class _Reader:
    def __init__(self, read: Callable[[], dict[str, float]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        for name, value in self._read().items():
            family: Metric
            title = name.removesuffix("_total").replace("_", " ")
            if name.endswith("_total"):
                counter = CounterMetricFamily(f"antiphon_{name}", title)
                counter.add_metric([], value)
                family = counter
            else:
                gauge = GaugeMetricFamily(f"antiphon_{name}", title)
                gauge.add_metric([], value)
                family = gauge
            yield family


class Metrics:
    """Reads gauges and counters when it is asked for them, so that counting costs nothing in between.

    Args:
        read: Gives the numbers by name; names ending in ``_total`` are counters.
    """

    def __init__(self, read: Callable[[], dict[str, float]]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Reader(read))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self) -> tuple[bytes, str]:
        """The page and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
