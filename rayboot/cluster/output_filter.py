"""Lines of Ray in the output of this process that would alarm a person without a reason."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["without_lines"]


@contextmanager
def without_lines(part: bytes, descriptors: tuple[int, ...] = (2,)) -> Iterator[None]:
    """Holds back what a ``with`` block prints; after it, prints all but some lines.

    Args:
        part: what the lines contain that are left out.
        descriptors: what is held back: 1 is stdout, 2 is stderr.
    """
    with ExitStack() as streams:
        for descriptor in descriptors:
            streams.enter_context(_filtered(part, descriptor))
        yield


@contextmanager
def _filtered(part: bytes, descriptor: int) -> Iterator[None]:
    stream = sys.stdout if descriptor == 1 else sys.stderr
    stream.flush()
    original = os.dup(descriptor)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), descriptor)
        try:
            yield
        finally:
            stream.flush()
            os.dup2(original, descriptor)
            os.close(original)
            file.seek(0)
            for line in file:
                if part not in line:
                    os.write(descriptor, line)
