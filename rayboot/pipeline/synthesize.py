"""A synthetic data set in the layout of LS3D-W, with its ground truth, written on Ray.

``Synthetic-3D/NNNNNN.jpg`` and ``.t7`` are photos and landmarks as in the real data set;
``truth/`` contains shapes and poses, which a real data set does not have. The data set is made in
parts. A part is complete when its file of the ground truth exists, and the data set when the
triangles do, so the same request again makes only what is missing.
"""

import logging
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import rayboot
from rayboot.cluster.cpu_limits import count_usable_cores
from rayboot.cluster.failures import translate_ray_errors
from rayboot.cluster.progress_bar import Progress, show_progress
from rayboot.cluster.resources import count_cores, require_resources
from rayboot.cluster.session import connect
from rayboot.data.fingerprint import Fingerprint
from rayboot.data.ground_truth import (
    has_topology,
    list_truth_parts,
    write_topology,
)
from rayboot.errors import RequestError
from rayboot.geometry.head_model import load_head_model
from rayboot.io.absolute_paths import with_absolute_paths
from rayboot.io.lease import hold_lease
from rayboot.io.retry import retry_io, translate_storage_errors
from rayboot.io.storage import absolute_uri, join_uri, require_writable
from rayboot.logs import current_context, logged_run, new_run_id
from rayboot.pipeline.output_layout import FINGERPRINT, LEASE
from rayboot.pipeline.render_part import PHOTOS_PER_PART, RenderPart
from rayboot.synthesis import SynthesisConfig
from rayboot.synthesis.backgrounds import load_backgrounds

__all__ = ["SynthesisPlan", "prepare_synthesis", "run_synthesis", "synthesize"]

_LOG = logging.getLogger(__name__)

_MIN_PHOTOS_ON_RAY = 100
"""Number of photos from which Ray is started: fewer are made while it would still be starting."""

_MAX_RESTARTS = 4


class SynthesisPlan(NamedTuple):
    """A checked request.

    Attributes:
        config: settings of the data set, with absolute paths.
        output: URI of the data set, absolute.
        run_id: identifier in log lines, shared by all runs that resume the request.
    """

    config: SynthesisConfig
    output: str
    run_id: str

    @property
    def num_photos(self) -> int:
        """Number of photos of the data set."""
        return self.config.num_identities * self.config.photos_per_identity


def prepare_synthesis(config: SynthesisConfig, output_uri: str) -> SynthesisPlan:
    """Checks a request; needs no Ray.

    Raises:
        RequestError: the output cannot be written, another request began it, or there are no
            backgrounds in their folder.
    """
    output_uri = absolute_uri(output_uri)
    require_writable(output_uri)
    resolved = with_absolute_paths(config)
    if resolved.backgrounds is not None:
        load_backgrounds(resolved.backgrounds)
    identity = {"config_digest": config.content_digest(), "code_version": rayboot.__version__}
    fingerprint = Fingerprint(output_uri, FINGERPRINT, identity)
    stored = fingerprint.load()
    if stored is None:
        if list_truth_parts(output_uri):
            raise RequestError(
                f"output {output_uri} contains synthetic faces, but no {FINGERPRINT} that says of "
                "which config; choose a new output, or remove the old one"
            )
        stored = fingerprint.save(run_id=new_run_id())
    return SynthesisPlan(resolved, output_uri, stored["run_id"])


def synthesize(config: SynthesisConfig, output_uri: str, num_workers: int | None = None) -> int:
    """Makes, or completes, a data set; see :func:`prepare_synthesis` and :func:`run_synthesis`.

    Args:
        config: settings of the data set.
        output_uri: URI of the data set.
        num_workers: number of renderers, instead of the config's.

    Returns:
        Number of photos.
    """
    if num_workers is not None:
        config = config.replace(num_workers=num_workers)
    plan = prepare_synthesis(config, output_uri)
    run_synthesis(plan)
    return plan.num_photos


def run_synthesis(plan: SynthesisPlan) -> None:
    """Makes the missing parts, on Ray where it is worth its start, and the triangles last.

    Every photo depends only on the config and its own number, so the number of renderers changes
    nothing. An initialised Ray is used; otherwise the cluster of the environment, or a local one.

    Raises:
        BusyError: another run writes to the same output.
        RaybootError: the cluster has too few CPUs.
        StoreError, DiskFullError, ClusterError: finished parts are kept; once that is remedied,
            the same request resumes.
    """
    output = plan.output
    with logged_run(plan.run_id) as run_id, hold_lease(join_uri(output, LEASE)):
        if retry_io(lambda: has_topology(output), output):
            _LOG.info("%s is complete already", output)
            return
        parts = _missing_parts(plan)
        num_left = sum(map(len, parts.values()))
        _LOG.info(
            "run %s: %d photos, %d of them left, output %s",
            run_id, plan.num_photos, num_left, output,
            extra={"num_photos": plan.num_photos, "num_left": num_left, "output": output},
        )  # fmt: skip
        with translate_storage_errors(output):
            if _uses_ray(plan.config, num_left):
                _render_on_ray(plan.config, output, parts, num_left)
            else:
                _render_here(plan.config, output, parts, num_left)
        triangles = load_head_model().front_faces
        retry_io(lambda: write_topology(output, triangles), output)


def _missing_parts(plan: SynthesisPlan) -> dict[int, range]:
    """Returns the numbers of the photos of each part without ground truth, by the part's number."""
    finished = set(retry_io(lambda: list_truth_parts(plan.output), plan.output))
    starts = range(0, plan.num_photos, PHOTOS_PER_PART)
    return {
        part: range(start, min(start + PHOTOS_PER_PART, plan.num_photos))
        for part, start in enumerate(starts)
        if part not in finished
    }


def _uses_ray(config: SynthesisConfig, num_left: int) -> bool:
    if config.num_workers is not None:
        return config.num_workers > 1 and num_left > 0
    is_alone = "RAY_ADDRESS" not in os.environ and count_usable_cores() == 1
    return num_left >= _MIN_PHOTOS_ON_RAY and not is_alone


class _Counter:
    """Number of photos that are done, for the progress bar."""

    def __init__(self) -> None:
        self._num_done, self._started = 0, time.monotonic()

    def add(self, num_photos: int) -> None:
        self._num_done += num_photos

    def read(self) -> Progress | None:
        if not self._num_done:
            return None
        rate = self._num_done / (time.monotonic() - self._started)
        return Progress(self._num_done, None, f"{rate:.1f} photos/s")


def _render_here(
    config: SynthesisConfig, output: str, parts: dict[int, range], num_left: int
) -> None:
    counter = _Counter()
    with show_progress("synthesize", "photo", counter.read, num_left):
        renderer = RenderPart(config, output)
        for part, numbers in parts.items():
            counter.add(renderer.render(part, numbers))


def _render_on_ray(
    config: SynthesisConfig, output: str, parts: dict[int, range], num_left: int
) -> None:
    with connect():
        num_workers = min(config.num_workers or count_cores(), len(parts))
        require_resources([{"CPU": 1.0}] * num_workers, free_cpus=0)
        counter = _Counter()
        with (
            translate_ray_errors(output),
            show_progress("synthesize", "photo", counter.read, num_left),
        ):
            for num_photos in _map_parts(config, output, parts, num_workers):
                counter.add(num_photos)


def _map_parts(
    config: SynthesisConfig, output: str, parts: dict[int, range], num_workers: int
) -> Iterator[int]:
    """Yields the number of photos of each part, when one of the actors has made it."""
    import ray
    from ray.util import ActorPool

    # An OpenGL context belongs to one process, which therefore makes many parts. A part that is
    # made twice is the same part.
    actor_type: Any = ray.remote(
        num_cpus=1, max_restarts=_MAX_RESTARTS, max_task_retries=_MAX_RESTARTS
    )(RenderPart)
    actors = [actor_type.remote(config, output, current_context()) for _ in range(num_workers)]
    # Ray's type stubs know no class of values here.
    pool: Any = ActorPool(actors)
    try:
        yield from pool.map_unordered(lambda actor, item: actor.render.remote(*item), parts.items())
    finally:
        for actor in actors:
            ray.kill(actor)
