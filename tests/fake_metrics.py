"""Stands in for Ray's gauges: keeps what was shown, and refuses labels that were not declared."""

from typing import Any

__all__ = ["GaugeBoard"]


class GaugeBoard:
    """Call it as ``metrics.Gauge``; ``shown`` maps a name and its labels to the last value."""

    def __init__(self) -> None:
        self.shown: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}

    def __call__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> Any:
        return _Gauge(self, name, tag_keys)

    def value(self, name: str, **labels: str) -> float:
        """What a gauge shows."""
        return self.shown[name, frozenset(labels.items())]


class _Gauge:
    def __init__(self, board: GaugeBoard, name: str, tag_keys: tuple[str, ...]) -> None:
        self._board, self._name, self._keys = board, name, tag_keys
        self._defaults: dict[str, str] = {}

    def set_default_tags(self, tags: dict[str, str]) -> None:
        self._defaults = tags

    def set(self, value: float, tags: dict[str, str]) -> None:
        labels = {**self._defaults, **tags}
        # Ray demands all of them, and no other.
        assert set(labels) == set(self._keys)
        self._board.shown[self._name, frozenset(labels.items())] = value
