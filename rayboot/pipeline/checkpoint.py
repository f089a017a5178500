"""Ray Data's checkpoint: each finished photo is noted, a later run does the others.

A file of rows is noted as pending before it is written, and as finished after; what a run that
was cut off left pending, on a local disk perhaps half a file, is removed by the next one.
"""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.data import DataContext
from ray.data.checkpoint import CheckpointConfig

from rayboot.io.retry import RETRIED_ERRORS

__all__ = ["checkpointed", "without_progress_bars"]


@contextmanager
def checkpointed(path: str, filesystem: Any) -> Iterator[None]:
    """Data sets written in a ``with`` block skip, and note, what is finished.

    They must be read from files, one row for one photo, its ``face_id`` kept to the end.

    Args:
        path: of the notes, on ``filesystem`` (PyArrow's).
        filesystem: that they lie on.
    """
    config = CheckpointConfig(
        id_column="face_id",
        checkpoint_path=path,
        override_filesystem=filesystem,
        # Kept until the data set is whole: without it a rerun would start anew.
        delete_checkpoint_on_success=False,
    )
    # Ray's own list has PyArrow's S3 client alone. It tries ten times within three minutes.
    with (
        without_progress_bars(),
        _settings(checkpoint_config=config, retried_io_errors=[RETRIED_ERRORS]),
    ):
        yield


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Data sets that run in a ``with`` block show no bar for each operator, and leave nothing."""
    try:
        # One bar over photos says more.
        with _settings(enable_progress_bars=False):
            yield
    finally:
        # A failed run's actors keep their CPUs until its exception's cycle is collected.
        gc.collect()


@contextmanager
def _settings(**values: Any) -> Iterator[None]:
    context = DataContext.get_current()
    former = {name: getattr(context, name) for name in values}
    try:
        _set(context, values)
        yield
    finally:
        _set(context, former)


def _set(context: DataContext, values: dict[str, Any]) -> None:
    # Ray warns of patterns that are no regular expressions, whatever they are.
    with warnings.catch_warnings(action="ignore"):
        for name, value in values.items():
            setattr(context, name, value)
