"""What an event did to a run, measured, and the table of all: ``python -m tests.chaos.record``."""

import json
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.chaos.runs import Outcome, Run

__all__ = ["Event", "table"]

_LOOK_S = 0.3


class Event:
    """One event in the middle of a run.

    Time to recover goes from the event to the moment when more is finished than was then; how
    long a part was away is in it.

    Args:
        name: for people.
        run: that it happens to.
        undisturbed_s: what the same run takes without it.
    """

    def __init__(self, name: str, run: Run, undisturbed_s: float) -> None:
        self._name, self._run, self._undisturbed_s = name, run, undisturbed_s
        self._started = time.monotonic()
        self._done = self._at = self._away_s = self._recovered_s = 0.0
        self._message = ""

    def happens(self) -> None:
        """Now; watches in the background from here on."""
        self._done, self._at = self._run.num_done(), time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def is_over(self) -> None:
        """What was away is back."""
        self._away_s = time.monotonic() - self._at

    def told(self) -> None:
        """The run ended; what the user reads is kept."""
        self._message = self._run.last_words()

    def _watch(self) -> None:
        # What was done at the event is not shown at once.
        time.sleep(self._run.lag_s)
        if self._run.lag_s:
            self._done = self._run.num_done()
        while not self._recovered_s:
            try:
                done = self._run.num_done()
            except Exception:  # a store that is away
                done = 0
            if done > self._done:
                self._recovered_s = time.monotonic() - self._at
            time.sleep(_LOOK_S)

    def close(self, outcome: Outcome, undisturbed: Outcome) -> dict[str, Any]:
        """The record; call it as soon as the run is finished."""
        assert self._recovered_s, "the run finished without having gone on"
        return {
            "event": self._name,
            "task": self._run.task,
            "done_before": f"{self._done:.0f} {self._run.unit}",
            "away_s": round(self._away_s, 1),
            "recovered_s": round(self._recovered_s, 1),
            "total_s": round(self._total_s, 1),
            "undisturbed_s": round(self._undisturbed_s, 1),
            "lost": len(undisturbed.counts.keys() - outcome.counts.keys()),
            "doubled": sum(count - 1 for count in outcome.counts.values()),
            "equal": outcome.content == undisturbed.content,
            "message": self._message,
        }

    def finished(self) -> None:
        """The run is whole."""
        self._total_s = time.monotonic() - self._started


def table(records: list[list[dict[str, Any]]]) -> str:
    """Markdown of one or several passes over the events: medians, with the range in brackets."""
    lines = [
        "| event | in | away | to recover | more than undisturbed | lost | doubled | equal |",
        "|---|---|---|---|---|---|---|---|",
    ]
    events: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in (record for records_ in records for record in records_):
        events.setdefault((record["event"], record["task"]), []).append(record)
    for (name, task), found in events.items():
        more = [record["total_s"] - record["undisturbed_s"] for record in found]
        cells = [
            name,
            f"`{task}`",
            _spread([record["away_s"] for record in found]),
            _spread([record["recovered_s"] for record in found]),
            _spread(more),
            str(max(record["lost"] for record in found)),
            str(max(record["doubled"] for record in found)),
            "yes" if all(record["equal"] for record in found) else "NO",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(seconds: list[float]) -> str:
    middle = f"{statistics.median(seconds):.0f} s"
    if len(seconds) == 1:
        return middle
    return f"{middle} ({min(seconds):.0f} to {max(seconds):.0f})"


if __name__ == "__main__":
    print(table([json.loads(Path(name).read_text())["events"] for name in sys.argv[1:]]))
