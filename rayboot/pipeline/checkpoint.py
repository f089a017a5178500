"""Ray Data's checkpoint: each finished photo is noted, a later run does the others."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.data import DataContext
from ray.data.checkpoint import CheckpointConfig

__all__ = ["checkpointed"]


@contextmanager
def checkpointed(path: str, filesystem: Any) -> Iterator[None]:
    """Data sets written in a ``with`` block skip, and note, what is finished.

    They must be read from files, one row for one photo, its ``face_id`` kept to the end.

    Args:
        path: of the notes, on ``filesystem`` (PyArrow's).
        filesystem: that they lie on.
    """
    context = DataContext.get_current()
    former = (context.checkpoint_config, context.enable_progress_bars)
    context.checkpoint_config = CheckpointConfig(
        id_column="face_id",
        checkpoint_path=path,
        override_filesystem=filesystem,
        # Kept until the data set is whole: without it a rerun would start anew.
        delete_checkpoint_on_success=False,
    )
    # One bar over photos says more than one for each operator.
    context.enable_progress_bars = False
    try:
        yield
    finally:
        context.checkpoint_config, context.enable_progress_bars = former
        # A failed run's actors keep their CPUs until its exception's cycle is collected.
        gc.collect()
