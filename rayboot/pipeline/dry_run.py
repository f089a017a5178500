"""A few photos through all stages in this process, without Ray: to look at, or to probe."""

from collections import Counter

import numpy as np
import pyarrow as pa

from rayboot.errors import RequestError
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.stages.crop_faces import CropFaces
from rayboot.pipeline.stages.predict_volume import PredictVolume
from rayboot.pipeline.stages.render_views import RenderViews
from rayboot.registry.resolve import resolve_model

__all__ = ["generate_in_process"]

_TRIES = 4
"""Photos that are tried for each face that is wanted."""

_AT_ONCE = 4


def generate_in_process(config: GenerateConfig, photos: pa.Table, num_faces: int) -> list[dict]:
    """Rows of :data:`rayboot.data.schema.PAIRS_SCHEMA` of some faces.

    Args:
        config: of the run that would be; ``model`` is its network.
        photos: rows of :data:`~rayboot.data.readers.PHOTO_SCHEMA`; those tried are spread over
            them.
        num_faces: after how many to stop.

    Raises:
        RequestError: there is no such model, or none of the photos tried gives a pair.
    """
    model = resolve_model(config.model, config.tracking_uri)
    network = model.config
    shape = (network.slices, network.resolution, network.resolution)
    read = CropFaces(network.resolution, config.selection, config.selection.detect_faces)
    reconstruct = PredictVolume(
        str(model.path),
        config.inference,
        _AT_ONCE,
        use_gpu=False,
        isovalue=config.isovalue,
        cell=config.cell_px(network.resolution),
    )
    turn = RenderViews(config, shape, "", "")
    photos = photos.append_column("duplicate_of", pa.nulls(len(photos), pa.string()))
    places = np.linspace(0, len(photos) - 1, _TRIES * num_faces)
    tried = np.unique(places.round().astype(int))
    faces: list[dict] = []
    reasons: Counter[str] = Counter()
    for start in range(0, len(tried), _AT_ONCE):
        part = photos.take(tried[start : start + _AT_ONCE])
        rows = turn(reconstruct(read(part))).to_pylist()
        faces += [row for row in rows if row["outcome"] == "face"]
        reasons.update(f"{row['stage']}, {row['reason']}" for row in rows if row["reason"])
        if len(faces) >= num_faces:
            break
    if not faces:
        why = "; ".join(f"{count} {reason}" for reason, count in reasons.items())
        raise RequestError(f"none of {len(tried)} photos gives a pair ({why})")
    return faces[:num_faces]
