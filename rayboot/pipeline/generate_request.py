"""A request for a pairs data set, checked before Ray starts and recorded for later runs.

Whatever can be refused is refused here. The photos are listed once: a resumed run continues with
that listing, and neither the store nor the photos are read again.
"""

from typing import Any, NamedTuple

import pyarrow.compute as pc

import rayboot
from rayboot.data.detector import FaceDetector
from rayboot.data.fingerprint import Fingerprint
from rayboot.data.readers.unread import unread_note
from rayboot.errors import RequestError
from rayboot.io.absolute_paths import with_absolute_paths
from rayboot.io.parquet import write_table
from rayboot.io.storage import join_uri, require_writable
from rayboot.logs import new_run_id
from rayboot.models import NetworkConfig
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.listing import (
    list_inputs,
    mark_duplicates,
    require_other_folder,
    subsample_videos,
)
from rayboot.pipeline.output_layout import FINGERPRINT, FORMER_FINGERPRINT, LISTING, TEST_PHOTOS
from rayboot.pipeline.render_device import resolve_render_device
from rayboot.pipeline.weights_copy import copy_weights, weights_uri
from rayboot.registry.resolve import resolve_model

__all__ = ["LISTING_OPTIONS", "GeneratePlan", "prepare_generate", "write_listing"]

# Without Arrow's own types: dictionaries of strings are plain strings for every reader.
LISTING_OPTIONS = {"row_group_size": 2048, "store_schema": False}
"""Options of the Parquet files that list photos."""


class GeneratePlan(NamedTuple):
    """A checked request: everything that is known before Ray starts.

    Attributes:
        config: The request, with the kind of renderer decided and with absolute paths.
        output: URI of the pairs data set.
        weights: URI of a copy of the weights beside the data: other machines do not have the
            driver's files.
        network: Config of the network.
        model_digest: SHA-256 of the weights, hexadecimal.
        stamp: What the manifest records of config, model and code.
        num_photos: Number of photos that take part.
        left_out: Number of listed photos that take no part, by reason.
        run_id: Identifier in log lines, shared by all runs that resume the request.
        unread: Sentence on the files that look like pictures and are not read, if there are any.
    """

    config: GenerateConfig
    output: str
    weights: str
    network: NetworkConfig
    model_digest: str
    stamp: dict[str, str]
    num_photos: int
    left_out: dict[str, int]
    run_id: str
    unread: str = ""

    def volume_shape(self) -> tuple[int, int, int]:
        """Shape (D, H, W) of the network's volume."""
        return (self.network.slices, self.network.resolution, self.network.resolution)


def prepare_generate(config: GenerateConfig) -> GeneratePlan:
    """Checks a request and lists its photos; needs no Ray.

    Raises:
        RequestError: Input or output is missing, or they are one folder; there is no photo or no
            such model; the output cannot be written, or another request began it.
    """
    config = resolve_render_device(config)
    if config.input is None or config.output is None:
        raise RequestError("generate needs an input and an output: in the config, or as flags")
    # What identifies the request is as the config says it; what runs is valid in every folder.
    inputs = [config.input] if isinstance(config.input, str) else list(config.input)
    config = with_absolute_paths(config)
    assert config.input is not None and config.output is not None
    require_other_folder(config.input, config.output)
    model = resolve_model(config.model, config.tracking_uri)
    stamp = {
        "config_digest": config.content_digest(),
        "model_digest": model.sha256,
        "code_version": rayboot.__version__,
    }
    require_writable(config.output)
    fingerprint = Fingerprint(
        config.output, FINGERPRINT, {**stamp, "input": inputs}, FORMER_FINGERPRINT
    )
    stored = fingerprint.load()
    if stored is None:
        listed = write_listing(config.input, config.frame_step, config.output)
        copy_weights(model.path, config.output)
        # Written last: an output with a fingerprint has a complete listing.
        stored = fingerprint.save(run_id=new_run_id(), **listed)
    if config.selection.detect_faces and stored["num_without_landmarks"]:
        FaceDetector()  # refuses where the extra is not installed, before Ray starts
    return GeneratePlan(
        config,
        config.output,
        weights_uri(model.path, config.output),
        model.config,
        model.sha256,
        stamp,
        stored["num_photos"],
        stored["left_out"],
        stored["run_id"],
        stored.get("unread", ""),
    )


def write_listing(inputs: str | tuple[str, ...], frame_step: int, output: str) -> dict[str, Any]:
    """Lists the photos that take part, for this run and all that resume it.

    Args:
        inputs: URIs of the photos.
        frame_step: Step through the frames of a video, see
            :class:`~rayboot.pipeline.generate_config.GenerateConfig`.
        output: URI of the pairs data set.

    Returns:
        ``num_photos``, ``num_without_landmarks``, the numbers ``left_out`` by reason, and the
        sentence on pictures that are ``unread``.

    Raises:
        RequestError: No photo takes part.
    """
    listed = list_inputs(inputs, include_test=True)
    tested = listed.filter(listed["is_test"])
    # A copy of a large listing does not fit into memory beside it.
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
    write_table(join_uri(output, LISTING), mark_duplicates(kept), **LISTING_OPTIONS)
    write_table(join_uri(output, TEST_PHOTOS), tested, **LISTING_OPTIONS)
    return {
        "num_photos": len(kept),
        "num_without_landmarks": kept["landmarks_uri"].null_count,
        "left_out": left_out,
        "unread": unread_note(listed),
    }
