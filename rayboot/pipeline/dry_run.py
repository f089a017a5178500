"""A few photos through all stages in this process, without Ray, to preview or to probe a config."""

from collections import Counter
from typing import Any

import pyarrow as pa

from rayboot.data.subsets import evenly_spaced
from rayboot.errors import RequestError
from rayboot.models.default_device import default_device
from rayboot.pipeline.generate import generate_stages
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import GeneratePlan
from rayboot.registry.resolve import resolve_model

__all__ = ["generate_in_process"]

_TRIES_PER_FACE = 4
"""Photos that are tried for each face that is wanted."""

_BATCH_SIZE = 4


def generate_in_process(
    config: GenerateConfig, photos: pa.Table, num_faces: int
) -> list[dict[str, Any]]:
    """Rows of :data:`rayboot.data.schema.PAIRS_SCHEMA` of some faces.

    Args:
        config: Config of the run that is previewed; ``model`` is its network.
        photos: Rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`; those tried are spread evenly
            over them.
        num_faces: Number of faces after which to stop.

    Raises:
        RequestError: There is no such model, or none of the photos tried gives a pair.
    """
    model = resolve_model(config.model, config.tracking_uri)
    on_gpu = default_device().type == "cuda"
    pools = config.pools.replace(batch_size=_BATCH_SIZE, reconstruct_gpus=float(on_gpu))
    plan = GeneratePlan(
        config.replace(pools=pools),
        output="",
        weights=str(model.path),
        network=model.config,
        model_digest="",
        stamp={"config_digest": ""},
        num_photos=len(photos),
        left_out={},
        run_id="",
    )
    stages = [spec.create() for spec in generate_stages(plan)]
    photos = photos.append_column("duplicate_of", pa.nulls(len(photos), pa.string()))
    tried = evenly_spaced(len(photos), _TRIES_PER_FACE * num_faces)
    faces: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    for start in range(0, len(tried), _BATCH_SIZE):
        table = photos.take(tried[start : start + _BATCH_SIZE])
        for stage in stages:
            table = stage(table)
        rows = table.to_pylist()
        faces += [row for row in rows if row["outcome"] == "face"]
        reasons.update(f"{row['stage']}, {row['reason']}" for row in rows if row["reason"])
        if len(faces) >= num_faces:
            break
    if not faces:
        counts = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise RequestError(f"none of {len(tried)} photos gives a pair ({counts})")
    return faces[:num_faces]
