"""Ray Data's checkpoint: finished photos are recorded, and a later run skips them.

Each output file is recorded as pending before it is written, and as finished afterwards. A run
that was interrupted leaves pending files, on a local disk perhaps incomplete ones; the next
run removes them.
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
    """Makes data sets that are written in a ``with`` block record and skip finished photos.

    These data sets must be read from files, with one row per photo, and must keep its
    ``face_id`` to the end.

    Args:
        path: path of the checkpoint folder on ``filesystem``.
        filesystem: PyArrow filesystem that stores the checkpoint.
    """
    config = CheckpointConfig(
        id_column="face_id",
        checkpoint_path=path,
        override_filesystem=filesystem,
        # Kept until the data set is complete: a rerun would start from the beginning without it.
        delete_checkpoint_on_success=False,
    )
    # By default Ray retries the errors of PyArrow's S3 client only; it makes ten attempts within
    # three minutes.
    with (
        without_progress_bars(),
        _data_context(checkpoint_config=config, retried_io_errors=[RETRIED_ERRORS]),
    ):
        yield


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Runs the data sets of a ``with`` block without Ray's bars, and releases their actors."""
    try:
        # rayboot shows one bar over photos instead of one for each operator.
        with _data_context(enable_progress_bars=False):
            yield
    finally:
        # The actors of a failed run hold their CPUs until the exception's reference cycle is
        # collected.
        gc.collect()


@contextmanager
def _data_context(**values: Any) -> Iterator[None]:
    """Changes attributes of Ray's data context for the time of a ``with`` block."""
    context = DataContext.get_current()
    former = {name: getattr(context, name) for name in values}
    try:
        _set_attributes(context, values)
        yield
    finally:
        _set_attributes(context, former)


def _set_attributes(context: DataContext, values: dict[str, Any]) -> None:
    # Ray warns of any error pattern that is not a regular expression.
    with warnings.catch_warnings(action="ignore"):
        for name, value in values.items():
            setattr(context, name, value)
