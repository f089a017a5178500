"""Measured effects of events on runs; ``python -m tests.chaos.record FILE ...`` prints a table."""

import itertools
import json
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.chaos.runs import Outcome, Run

__all__ = ["Event", "table"]

_POLL_INTERVAL_S = 0.3


class Event:
    """One event in the middle of a run.

    The time to recover is measured from the event to the first progress after it; it includes
    the time for which a part was unavailable.

    Args:
        name: readable name of the event.
        run: run that the event happens to.
        undisturbed_s: duration of the same run without the event.
    """

    def __init__(self, name: str, run: Run, undisturbed_s: float) -> None:
        self._name, self._run, self._undisturbed_s = name, run, undisturbed_s
        self._started = time.monotonic()
        self._done = self._at = self._unavailable_s = self._recovered_s = 0.0
        self._message = ""

    def happens(self) -> None:
        """Marks the time of the event; progress is polled in the background from now on."""
        self._done, self._at = self._run.num_done(), time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def is_over(self) -> None:
        """Marks the time at which the part is available again."""
        self._unavailable_s = time.monotonic() - self._at

    def record_message(self) -> None:
        """Stores the last message of the run, which has ended."""
        self._message = self._run.last_message()

    def _watch(self) -> None:
        # Progress made before the event is reported with a delay.
        time.sleep(self._run.lag_s)
        if self._run.lag_s:
            self._done = self._run.num_done()
        while not self._recovered_s:
            try:
                done = self._run.num_done()
            except Exception:  # the store is unavailable
                done = 0
            if done > self._done:
                self._recovered_s = time.monotonic() - self._at
            time.sleep(_POLL_INTERVAL_S)

    def close(self, outcome: Outcome, undisturbed: Outcome) -> dict[str, Any]:
        """Returns the record of the event, after :meth:`finished`."""
        assert self._recovered_s, "the run finished without any progress after the event"
        return {
            "event": self._name,
            "task": self._run.task,
            "done_before": f"{self._done:.0f} {self._run.unit}",
            "away_s": round(self._unavailable_s, 1),
            "recovered_s": round(self._recovered_s, 1),
            "total_s": round(self._total_s, 1),
            "undisturbed_s": round(self._undisturbed_s, 1),
            "lost": len(undisturbed.counts.keys() - outcome.counts.keys()),
            "doubled": sum(count - 1 for count in outcome.counts.values()),
            "equal": outcome.content == undisturbed.content,
            "message": self._message,
        }

    def finished(self) -> None:
        """Marks the time at which the run was complete."""
        self._total_s = time.monotonic() - self._started


def table(records: list[list[dict[str, Any]]]) -> str:
    """Returns a Markdown table of one or several passes over the events: medians and ranges."""
    lines = [
        "| event | task | unavailable | to recover | longer than undisturbed "
        "| lost | doubled | equal |",
        "|---|---|---|---|---|---|---|---|",
    ]
    events: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in itertools.chain.from_iterable(records):
        events.setdefault((record["event"], record["task"]), []).append(record)
    for (name, task), passes in events.items():
        delays = [record["total_s"] - record["undisturbed_s"] for record in passes]
        cells = [
            name,
            f"`{task}`",
            _format_range([record["away_s"] for record in passes]),
            _format_range([record["recovered_s"] for record in passes]),
            _format_range(delays),
            str(max(record["lost"] for record in passes)),
            str(max(record["doubled"] for record in passes)),
            "yes" if all(record["equal"] for record in passes) else "NO",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _format_range(seconds: list[float]) -> str:
    middle = f"{statistics.median(seconds):.0f} s"
    if len(seconds) == 1:
        return middle
    return f"{middle} ({min(seconds):.0f} to {max(seconds):.0f})"


if __name__ == "__main__":
    print(table([json.loads(Path(name).read_text())["events"] for name in sys.argv[1:]]))
