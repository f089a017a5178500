"""The actors of a run, as far as the machine or cluster has room for them."""

import logging
from collections.abc import Sequence

from rayboot.cluster.resources import has_one_core, require_resources
from rayboot.pipeline.graph import StageSpec

__all__ = ["require_actors"]

_LOG = logging.getLogger(__name__)


def require_actors(stages: Sequence[StageSpec]) -> list[StageSpec]:
    """Returns the stages when the cluster has the resources for all their actors.

    On a machine with one core, each stage receives one actor: more would only take turns, and the
    rows are the same.

    Raises:
        RaybootError: The connected cluster is too small.
        RequestError: See :func:`~rayboot.cluster.resources.require_resources`.
    """
    fitted = [spec._replace(num_actors=1) for spec in stages] if has_one_core() else list(stages)
    reduced = [
        f"{spec.num_actors} of {spec.name}"
        for spec, other in zip(stages, fitted, strict=True)
        if spec != other
    ]
    if reduced:
        _LOG.info(
            "this machine has one core: each stage runs in one actor, instead of %s",
            ", ".join(reduced),
        )
    bundles = [spec.bundle() for spec in fitted for _ in range(spec.num_actors)]
    # Those with GPUs first.
    require_resources(sorted(bundles, key=lambda bundle: -bundle.get("GPU", 0.0)))
    return fitted
