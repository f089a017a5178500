"""Gauges like those of Ray, which record their values and refuse labels that are not declared."""

from typing import Any

__all__ = ["GaugeBoard"]


class GaugeBoard:
    """Replaces ``metrics.Gauge``; ``shown`` has the latest value by name and labels."""

    def __init__(self) -> None:
        self.shown: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}

    def __call__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> Any:
        return _Gauge(self, name, tag_keys)

    def value(self, name: str, **labels: str) -> float:
        """Returns the latest value of a gauge."""
        return self.shown[name, frozenset(labels.items())]


class _Gauge:
    def __init__(self, board: GaugeBoard, name: str, tag_keys: tuple[str, ...]) -> None:
        self._board, self._name, self._keys = board, name, tag_keys
        self._defaults: dict[str, str] = {}

    def set_default_tags(self, tags: dict[str, str]) -> None:
        self._defaults = tags

    def set(self, value: float, tags: dict[str, str]) -> None:
        labels = {**self._defaults, **tags}
        # Ray requires exactly the declared labels.
        assert set(labels) == set(self._keys)
        self._board.shown[self._name, frozenset(labels.items())] = value
