"""A request for meshes, checked before Ray starts and recorded for later runs."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import pyarrow as pa
import pyarrow.compute as pc

from rayboot.config import FrozenConfig
from rayboot.data.fingerprint import Fingerprint
from rayboot.data.obj_files import companion_names
from rayboot.data.readers.unread import unread_note
from rayboot.geometry.physical_size import MeshUnit
from rayboot.io.absolute_paths import absolute_inputs, absolute_model
from rayboot.io.parquet import read_table, write_table
from rayboot.io.storage import absolute_uri, exists, join_uri, require_writable
from rayboot.logs import new_run_id
from rayboot.models import NetworkConfig
from rayboot.models.network_config import InferenceConfig
from rayboot.pipeline.follow_input import OutputFiles, complete_pending_change, follow_input
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.generate_request import require_detector
from rayboot.pipeline.input_changes import InputChanges, ListingUpdate
from rayboot.pipeline.listing import list_inputs, mark_duplicates, require_other_folder
from rayboot.pipeline.mesh_names import assign_mesh_names
from rayboot.pipeline.output_layout import (
    FINGERPRINT,
    FORMER_FINGERPRINT,
    LISTING,
    LISTING_OPTIONS,
    MESH_INDEX,
    MESH_ROWS,
)
from rayboot.pipeline.weights_copy import copy_weights, weights_uri
from rayboot.registry.resolve import resolve_model

__all__ = [
    "ExportPlan",
    "FaceChoice",
    "MeshKind",
    "ReconstructConfig",
    "count_indexed_photos",
    "prepare_export",
]

MeshKind = Literal["ply", "glb", "obj"]
"""Kind of a mesh file; ``obj`` has the photo as a texture, in two more files."""
FaceChoice = Literal["largest", "all"]


class ReconstructConfig(FrozenConfig):
    """How photos become meshes, and on which pools of actors."""

    kinds: tuple[MeshKind, ...] = ("ply", "glb")
    """Files that are written for each face: PLY and GLB with coloured vertices, OBJ with the photo
    as texture."""
    unit: MeshUnit = "metre"
    """Unit of the vertices: ``metre``, by people's mean size, or ``pixel`` of the crop."""
    detect_faces: bool = True
    """Whether faces are detected in photos without landmarks."""
    inference: InferenceConfig = InferenceConfig()
    """Settings of the network."""
    pools: PoolConfig = PoolConfig()
    """The ``render`` actors colour and write the meshes; they need no GPU."""


class ExportPlan(NamedTuple):
    """A checked request.

    Attributes:
        config: How photos become meshes.
        weights: URI of a copy of the weights beside the meshes.
        network: Config of the network.
        num_photos: Number of listed photos.
        output: URI of the folder of the meshes.
        run_id: Identifier in log lines, shared by all runs that resume the request.
        unread: Sentence on the files that look like pictures and are not read, if there are any.
        faces: Whether each photo gives a mesh of its largest face, or one of every face.
        changes: How the input differs from the one that finished meshes were made of.
        is_resumed: Whether the output was begun before and is not finished: its listing may be
            older than the input.
        num_to_do: Number of photos that may have no mesh yet.
    """

    config: ReconstructConfig
    weights: str
    network: NetworkConfig
    num_photos: int
    output: str
    run_id: str
    unread: str = ""
    faces: FaceChoice = "largest"
    changes: InputChanges = InputChanges()
    is_resumed: bool = False
    num_to_do: int = 0


def prepare_export(
    model: str,
    inputs: str | tuple[str, ...],
    output_uri: str,
    config: ReconstructConfig | None = None,
    tracking_uri: str | None = None,
    faces: FaceChoice = "largest",
    *,
    prune: bool = False,
) -> ExportPlan:
    """Checks a request and lists its photos; needs no Ray.

    A finished output is compared with its input as it is now, and what is new is added.

    Args:
        model: A weights file, the name of a built-in model, or ``models:/NAME/VERSION``.
        inputs: URI of the photos, or several: folders, archives, or single photos.
        output_uri: URI of the folder of the meshes.
        config: How photos become meshes.
        tracking_uri: URI of the registry that resolves ``models:/`` names.
        faces: Which faces of a photo become meshes; landmarks next to it mark one of them.
        prune: Whether meshes of photos that are no longer in the input are removed.

    Raises:
        BusyError: The listing has to be changed, and another run writes to the output.
        RequestError: Model or photos are missing, the output cannot be written, or another
            request began it.
    """
    config = config or ReconstructConfig()
    resolved = resolve_model(absolute_model(model), tracking_uri)
    identity = {
        "input": inputs,
        "model_digest": resolved.sha256,
        "config_digest": config.replace(pools=PoolConfig()).digest(),
        # Records of version 0.1 have no such key.
        "faces": None if faces == "largest" else faces,
    }
    inputs, output_uri = absolute_inputs(inputs), absolute_uri(output_uri)
    require_other_folder(inputs, output_uri)
    require_writable(output_uri)
    fingerprint = Fingerprint(output_uri, FINGERPRINT, identity, FORMER_FINGERPRINT)
    complete_pending_change(output_uri)
    stored = fingerprint.load()
    num_done = count_indexed_photos(output_uri)
    is_finished = stored is not None and num_done > 0
    is_resumed = stored is not None and not is_finished
    update: ListingUpdate | None = None
    if stored is None:
        photos = list_inputs(inputs, include_test=True)
        require_detector(config.detect_faces, photos["landmarks_uri"].null_count)
        photos = mark_duplicates(photos)
        names = pa.array(assign_mesh_names(photos["face_id"].to_pylist()), pa.string())
        photos = photos.append_column("mesh_name", names)
        write_table(join_uri(output_uri, LISTING), photos, **LISTING_OPTIONS)
        copy_weights(resolved.path, output_uri)
        # Written last: an output with a fingerprint has a complete listing.
        stored = fingerprint.save(
            num_photos=len(photos), run_id=new_run_id(), unread=unread_note(photos)
        )
    elif prune or is_finished:
        stored, update = _follow_input(inputs, output_uri, stored, config.detect_faces, prune)
    return ExportPlan(
        config,
        weights_uri(resolved.path, output_uri),
        resolved.config,
        stored["num_photos"],
        output_uri,
        stored["run_id"],
        stored.get("unread", ""),
        faces,
        InputChanges() if update is None else update.changes,
        is_resumed,
        stored["num_photos"] - max(0, num_done - (len(update.taken_out) if update else 0)),
    )


def count_indexed_photos(output: str) -> int:
    """Returns the number of photos in the index of an output; 0 where there is none."""
    uri = join_uri(output, MESH_INDEX)
    return len(read_table(uri, ["face_id"])["face_id"].unique()) if exists(uri) else 0


def _follow_input(
    inputs: str | tuple[str, ...],
    output: str,
    stored: dict[str, Any],
    detect_faces: bool,
    prune: bool,
) -> tuple[dict[str, Any], ListingUpdate]:
    """Adds photos to the listing; returns the record of the request, and the update."""
    photos = list_inputs(inputs, include_test=True)
    unread = unread_note(photos)

    def record(update: ListingUpdate) -> dict[str, Any]:
        require_detector(detect_faces, update.listing["landmarks_uri"].null_count)
        return {**stored, "num_photos": len(update.listing), "unread": unread}

    files = OutputFiles((MESH_ROWS,), (MESH_INDEX,), leftovers=_meshes_of)
    update, written = follow_input(
        output, files, photos, photos, record, prune=prune, complete=_name_meshes
    )
    return written or {**stored, "unread": unread}, update


def _name_meshes(listing: pa.Table) -> pa.Table:
    """Names the meshes of photos that have no name yet, after those that have one."""
    # Listings of version 0.1 have no names; meshes that exist keep theirs in the index.
    has_names = "mesh_name" in listing.column_names
    names = listing["mesh_name"].to_pylist() if has_names else [None] * len(listing)
    new = [index for index, name in enumerate(names) if name is None]
    ids = listing["face_id"].take(pa.array(new, pa.int64())).to_pylist()
    taken = [name for name in names if name is not None]
    for index, name in zip(new, assign_mesh_names(ids, taken), strict=True):
        names[index] = name
    unnamed = listing.drop(["mesh_name"]) if has_names else listing
    return unnamed.append_column("mesh_name", pa.array(names, pa.string()))


def _meshes_of(output: str, ids: Sequence[str], listing: pa.Table) -> list[str]:
    """Returns the meshes of some photos, relative to the output."""
    index = join_uri(output, MESH_INDEX)
    if not ids or not exists(index):
        return []
    rows = read_table(index)
    rows = rows.filter(pc.is_in(rows["face_id"], value_set=pa.array(ids, pa.string())))
    # An index of an earlier version has no column for OBJ.
    kinds = [kind for kind in get_args(MeshKind) if kind in rows.column_names]
    names = [name for kind in kinds for name in rows[kind].to_pylist() if name]
    objs = [name for name in names if name.endswith(".obj")]
    return names + [other for name in objs for other in companion_names(name)]
