"""A request for meshes: checked before Ray starts, and written down for those that resume it."""

import io
import json
from typing import Literal, NamedTuple

import pyarrow.parquet as pq

from rayboot.config import FrozenConfig
from rayboot.data.readers.directory import list_photos
from rayboot.errors import RequestError
from rayboot.io.storage import exists, join_uri, read_bytes, require_writable, write_bytes
from rayboot.logs import new_run_id
from rayboot.models import NetworkConfig
from rayboot.models.network_config import InferenceConfig
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.listing import mark_duplicates
from rayboot.registry.resolve import resolve_model

__all__ = [
    "CHECKPOINT",
    "LISTING",
    "LOCK",
    "ROWS",
    "ExportPlan",
    "MeshKind",
    "ReconstructConfig",
    "prepare_export",
]

LISTING, CHECKPOINT, LOCK = "_run/listing.parquet", "_run/checkpoint", "_run/lock.json"
ROWS = "_run/rows"
_STAMP = "_run/stamp.json"

MeshKind = Literal["ply", "glb"]


class ReconstructConfig(FrozenConfig):
    """How photographs become meshes, and on which pools."""

    kinds: tuple[MeshKind, ...] = ("ply", "glb")
    """Files that are written for each face."""
    detect_faces: bool = True
    """Look for a face in photos without landmarks (extra ``detect``)."""
    inference: InferenceConfig = InferenceConfig()
    pools: PoolConfig = PoolConfig()
    """``render`` stands for those who colour and write meshes; they need no GPU."""


class ExportPlan(NamedTuple):
    """A checked request; ``weights`` is the URI of a copy beside the meshes."""

    config: ReconstructConfig
    weights: str
    network: NetworkConfig
    num_photos: int
    output: str
    run_id: str


def prepare_export(
    model: str,
    input_uri: str,
    output_uri: str,
    config: ReconstructConfig | None = None,
    tracking_uri: str | None = None,
) -> ExportPlan:
    """Checks a request and lists its photos once; needs no Ray.

    Raises:
        RequestError: model or photos are missing, or the output cannot be written, or holds
            what another model or input made.
    """
    config = config or ReconstructConfig()
    resolved = resolve_model(model, tracking_uri)
    stamp = {
        "input": input_uri,
        "model_digest": resolved.sha256,
        "config_digest": config.replace(pools=PoolConfig()).digest(),
    }
    require_writable(output_uri)
    copy = join_uri(output_uri, f"_run/weights{resolved.path.suffix}")
    if exists(join_uri(output_uri, _STAMP)):
        stored = json.loads(read_bytes(join_uri(output_uri, _STAMP)))
        _require_same(output_uri, stored, stamp)
        num_photos = stored["num_photos"]
    else:
        write_bytes(copy, resolved.path.read_bytes())
        num_photos = _write_listing(input_uri, output_uri)
        # Written last: with it the listing is whole.
        stored = {**stamp, "num_photos": num_photos, "run_id": new_run_id()}
        write_bytes(join_uri(output_uri, _STAMP), json.dumps(stored, indent=1).encode())
    run_id = stored.get("run_id", stamp["config_digest"][:32])
    return ExportPlan(config, copy, resolved.config, num_photos, output_uri, run_id)


def _write_listing(input_uri: str, output_uri: str) -> int:
    photos = mark_duplicates(list_photos(input_uri, include_test=True))
    buffer = io.BytesIO()
    pq.write_table(photos, buffer, row_group_size=2048, store_schema=False)
    write_bytes(join_uri(output_uri, LISTING), buffer.getvalue())
    return len(photos)


def _require_same(output: str, stored: dict, stamp: dict[str, str]) -> None:
    for key, value in stamp.items():
        if stored.get(key) != value:
            raise RequestError(
                f"output {output} was begun with another {key} ({stored.get(key)}, this run has "
                f"{value}); choose a new output, or remove the old one"
            )
