"""A generate run's request: checked before Ray starts, and written down for those that resume it.

What can be refused is refused here. The photos are listed once: a resumed run does
the rest of that listing, and asks neither the store nor the photos again.
"""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import rayboot
from rayboot.data.detector import FaceDetector
from rayboot.errors import RequestError
from rayboot.io.storage import exists, join_uri, read_bytes, require_writable, write_bytes
from rayboot.logs import new_run_id
from rayboot.models import NetworkConfig
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.listing import list_inputs, mark_duplicates, subsample_videos
from rayboot.registry.resolve import resolve_model

__all__ = [
    "CHECKPOINT",
    "LISTING",
    "LOCK",
    "TEST_PHOTOS",
    "GeneratePlan",
    "prepare",
    "write_listing",
]

LISTING, TEST_PHOTOS = "_run/listing.parquet", "_run/test-photos.parquet"
CHECKPOINT, LOCK = "_run/checkpoint", "_run/lock.json"
_STAMP = "_run/stamp.json"

_ROWS_PER_GROUP = 2048


class GeneratePlan(NamedTuple):
    """A checked request: everything that is known before Ray starts."""

    config: GenerateConfig
    output: str
    weights: str
    """URI of a copy beside the data: other machines have no file of this one's."""
    network: NetworkConfig
    model_digest: str
    stamp: dict[str, str]
    num_photos: int
    left_out: dict[str, int]
    run_id: str
    """In log lines; the same for those that resume it."""

    def volume_shape(self) -> tuple[int, int, int]:
        """(D, H, W) of the network's volume."""
        return (self.network.slices, self.network.resolution, self.network.resolution)


def prepare(config: GenerateConfig) -> GeneratePlan:
    """Checks a request and lists its photos; needs no Ray.

    Raises:
        RequestError: input or output is missing, there is no photo or no such model,
            the output cannot be written, or holds what another request made.
    """
    if config.input is None or config.output is None:
        raise RequestError("generate needs an input and an output: in the config, or as flags")
    model = resolve_model(config.model, config.tracking_uri)
    stamp = {
        "config_digest": config.content_digest(),
        "model_digest": model.sha256,
        "code_version": rayboot.__version__,
    }
    require_writable(config.output)
    stored = _stored_request(config.output)
    if stored is None:
        write_bytes(_weights_uri(config.output, model.path), model.path.read_bytes())
        listed = write_listing(config.input, config.frame_step, config.output)
        identity = {**stamp, "run_id": new_run_id(), "input": _as_list(config.input)}
        stored = {**identity, **listed}
        # Written last: with it the listing is whole.
        write_bytes(join_uri(config.output, _STAMP), json.dumps(stored, indent=1).encode())
    else:
        _require_same(config, stored, stamp)
    if config.selection.detect_faces and stored["num_without_landmarks"]:
        FaceDetector()  # refuses where the extra is not installed, before Ray starts
    return GeneratePlan(
        config,
        config.output,
        _weights_uri(config.output, model.path),
        model.config,
        model.sha256,
        stamp,
        stored["num_photos"],
        stored["left_out"],
        # Outputs that were begun before there were ids have none.
        stored.get("run_id", stamp["config_digest"][:32]),
    )


def _weights_uri(output: str, weights: Path) -> str:
    return join_uri(output, f"_run/weights{weights.suffix}")


def _stored_request(output: str) -> dict[str, Any] | None:
    """What a former run of the same output wrote down; its listing is not made again."""
    uri = join_uri(output, _STAMP)
    return json.loads(read_bytes(uri)) if exists(uri) else None


def write_listing(inputs: str | tuple[str, ...], frame_step: int, output: str) -> dict[str, Any]:
    """Lists the photos that take part, for a run and all that resume it.

    Args:
        inputs: URIs of the photos.
        frame_step: of videos, see :class:`~rayboot.pipeline.generate_config.GenerateConfig`.
        output: URI of the pairs data set.

    Returns:
        ``num_photos``, ``num_without_landmarks`` and how many were ``left_out``, by reason.

    Raises:
        RequestError: no photo takes part.
    """
    listed = list_inputs(inputs, include_test=True)
    tested = listed.filter(listed["is_test"])
    # A copy of a listing is what its memory has no room for.
    photos = listed.filter(pc.invert(listed["is_test"])) if len(tested) else listed
    kept = subsample_videos(photos, frame_step)
    if len(kept) == 0:
        raise RequestError(
            f"input {inputs}: all of its {len(listed)} photos belong to LS3D-W's test "
            "subsets, which are kept for testing; name the subset itself to use it"
        )
    left_out = {
        "test_photos_left_out": len(listed) - len(photos),
        "frames_left_out": len(photos) - len(kept),
    }
    _write_table(mark_duplicates(kept), join_uri(output, LISTING))
    _write_table(tested, join_uri(output, TEST_PHOTOS))
    return {
        "num_photos": len(kept),
        "num_without_landmarks": kept["landmarks_uri"].null_count,
        "left_out": left_out,
    }


def _write_table(table: pa.Table, uri: str) -> None:
    with io.BytesIO() as buffer:
        # Without Arrow's own types: dictionaries of strings are strings again for who reads it.
        pq.write_table(table, buffer, row_group_size=_ROWS_PER_GROUP, store_schema=False)
        payload = buffer.getvalue()
    write_bytes(uri, payload)


def _as_list(inputs: str | tuple[str, ...] | None) -> list[str]:
    return [inputs] if isinstance(inputs, str) else list(inputs or ())


def _require_same(config: GenerateConfig, stored: dict[str, Any], stamp: dict[str, str]) -> None:
    """Another config, model, code or input never mixes into what is there."""
    for key, value in {**stamp, "input": _as_list(config.input)}.items():
        if stored.get(key) != value:
            raise RequestError(
                f"output {config.output} was begun with another {key} ({stored.get(key)}, this "
                f"run has {value}); choose a new output, or remove the old one"
            )
