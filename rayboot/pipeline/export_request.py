"""A request for meshes, checked before Ray starts and recorded for later runs."""

from typing import Literal, NamedTuple

import pyarrow as pa

from rayboot.config import FrozenConfig
from rayboot.data.fingerprint import Fingerprint
from rayboot.data.readers.unread import unread_note
from rayboot.io.absolute_paths import absolute_inputs, absolute_model
from rayboot.io.parquet import write_table
from rayboot.io.storage import absolute_uri, join_uri, require_writable
from rayboot.logs import new_run_id
from rayboot.models import NetworkConfig
from rayboot.models.network_config import InferenceConfig
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.pipeline.generate_request import LISTING_OPTIONS
from rayboot.pipeline.listing import list_inputs, mark_duplicates, require_other_folder
from rayboot.pipeline.mesh_names import assign_mesh_names
from rayboot.pipeline.output_layout import FINGERPRINT, FORMER_FINGERPRINT, LISTING
from rayboot.pipeline.weights_copy import copy_weights, weights_uri
from rayboot.registry.resolve import resolve_model

__all__ = ["ExportPlan", "FaceChoice", "MeshKind", "ReconstructConfig", "prepare_export"]

MeshKind = Literal["ply", "glb"]
FaceChoice = Literal["largest", "all"]


class ReconstructConfig(FrozenConfig):
    """How photos become meshes, and on which pools of actors."""

    kinds: tuple[MeshKind, ...] = ("ply", "glb")
    """Files that are written for each face."""
    detect_faces: bool = True
    """Whether faces are detected in photos without landmarks (extra ``detect``)."""
    inference: InferenceConfig = InferenceConfig()
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
    """

    config: ReconstructConfig
    weights: str
    network: NetworkConfig
    num_photos: int
    output: str
    run_id: str
    unread: str = ""
    faces: FaceChoice = "largest"


def prepare_export(
    model: str,
    inputs: str | tuple[str, ...],
    output_uri: str,
    config: ReconstructConfig | None = None,
    tracking_uri: str | None = None,
    faces: FaceChoice = "largest",
) -> ExportPlan:
    """Checks a request and lists its photos once; needs no Ray.

    Args:
        model: A weights file, the name of a built-in model, or ``models:/NAME/VERSION``.
        inputs: URI of the photos, or several: folders, archives, or single photos.
        output_uri: URI of the folder of the meshes.
        config: How photos become meshes.
        tracking_uri: URI of the registry that resolves ``models:/`` names.
        faces: Which faces of a photo become meshes; landmarks next to it mark one of them.

    Raises:
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
    stored = fingerprint.load()
    if stored is None:
        photos = mark_duplicates(list_inputs(inputs, include_test=True))
        names = pa.array(assign_mesh_names(photos["face_id"].to_pylist()), pa.string())
        photos = photos.append_column("mesh_name", names)
        write_table(join_uri(output_uri, LISTING), photos, **LISTING_OPTIONS)
        copy_weights(resolved.path, output_uri)
        # Written last: an output with a fingerprint has a complete listing.
        stored = fingerprint.save(
            num_photos=len(photos), run_id=new_run_id(), unread=unread_note(photos)
        )
    return ExportPlan(
        config,
        weights_uri(resolved.path, output_uri),
        resolved.config,
        stored["num_photos"],
        output_uri,
        stored["run_id"],
        stored.get("unread", ""),
        faces,
    )
