"""A request for a pairs data set, checked before Ray starts and recorded for later runs.

Whatever can be refused is refused here. The photos are listed once: a resumed run continues with
that listing, and neither the store nor the photos are read again. The request of a finished data
set is compared with its input as it is now, and what is new is added to the listing.
"""

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

import rayboot
from rayboot.data.detector import FaceDetector
from rayboot.data.fingerprint import Fingerprint
from rayboot.data.manifest import MANIFEST, Manifest, read_manifest
from rayboot.data.readers.unread import unread_note
from rayboot.errors import RequestError
from rayboot.io.absolute_paths import with_absolute_paths
from rayboot.io.parquet import write_table
from rayboot.io.storage import join_uri, require_writable
from rayboot.logs import new_run_id
from rayboot.models import NetworkConfig
from rayboot.pipeline.follow_input import OutputFiles, complete_pending_change, follow_input
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.input_changes import InputChanges, ListingUpdate
from rayboot.pipeline.listing import (
    list_inputs,
    mark_duplicates,
    require_other_folder,
    subsample_videos,
)
from rayboot.pipeline.output_layout import (
    FINGERPRINT,
    FORMER_FINGERPRINT,
    LISTING,
    LISTING_OPTIONS,
    TEST_HASHES,
    TEST_PHOTOS,
)
from rayboot.pipeline.render_device import resolve_render_device
from rayboot.pipeline.weights_copy import copy_weights, weights_uri
from rayboot.registry.resolve import resolve_model

__all__ = ["GeneratePlan", "prepare_generate", "require_detector", "write_listing"]


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
        changes: How the input differs from the one that a finished data set was made of.
        is_resumed: Whether the data set was begun before and is not finished: its listing may be
            older than the input.
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
    changes: InputChanges = InputChanges()
    is_resumed: bool = False

    def volume_shape(self) -> tuple[int, int, int]:
        """Shape (D, H, W) of the network's volume."""
        return (self.network.slices, self.network.resolution, self.network.resolution)


def prepare_generate(
    config: GenerateConfig, *, prune: bool = False, follow: bool = True
) -> GeneratePlan:
    """Checks a request and lists its photos; needs no Ray.

    Args:
        config: The request.
        prune: Whether the rows of photos that are no longer in the input are taken out.
        follow: Whether photos that were added to the input of a finished data set are listed.

    Raises:
        BusyError: The listing has to be changed, and another run writes to the output.
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
    complete_pending_change(config.output)
    stored = fingerprint.load()
    manifest = read_manifest(config.output)
    is_resumed = stored is not None and manifest is None
    changes = InputChanges()
    if stored is None:
        if manifest is not None:
            _require_as_many(config.input, config, manifest)
        listed = write_listing(
            config.input, config.frame_step, config.output, config.selection.detect_faces
        )
        copy_weights(model.path, config.output)
        # Written last: an output with a fingerprint has a complete listing.
        stored = fingerprint.save(run_id=new_run_id(), **listed)
    elif prune or (follow and manifest is not None):
        stored, changes = _follow_input(config.input, config, stored, prune)
    require_detector(config.selection.detect_faces, stored["num_without_landmarks"])
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
        changes,
        is_resumed,
    )


def _require_as_many(
    inputs: str | tuple[str, ...], config: GenerateConfig, manifest: Manifest
) -> None:
    """Refuses a finished data set without its record of photos, unless no photo was added.

    Raises:
        RequestError: The input has another number of photos.
    """
    num_photos = len(_list_parts(inputs, config.frame_step).kept)
    num_rows = manifest.counts.get("faces", 0) + manifest.counts.get("rejects", 0)
    if num_photos != num_rows:
        raise RequestError(
            f"output {config.output}: expected the {num_rows} photos that it was made of, got "
            f"{num_photos}; its record of them ({LISTING}) was removed, so that nothing can be "
            "added to it: choose a new output"
        )


def require_detector(detect_faces: bool, num_without_landmarks: int) -> None:
    """Refuses photos without landmarks where the face detector is not installed.

    Raises:
        RequestError: The package of the face detector is missing.
    """
    if detect_faces and num_without_landmarks:
        FaceDetector()


def write_listing(
    inputs: str | tuple[str, ...], frame_step: int, output: str, detect_faces: bool = False
) -> dict[str, Any]:
    """Lists the photos that take part, for this run and all that resume it.

    Args:
        inputs: URIs of the photos.
        frame_step: Step through the frames of a video, see
            :class:`~rayboot.pipeline.generate_config.GenerateConfig`.
        output: URI of the pairs data set.
        detect_faces: Whether faces will be detected in photos without landmarks.

    Returns:
        ``num_photos``, ``num_without_landmarks``, the numbers ``left_out`` by reason, and the
        sentence on pictures that are ``unread``.

    Raises:
        RequestError: No photo takes part, or the face detector is not installed.
    """
    photos = _list_parts(inputs, frame_step)
    require_detector(detect_faces, photos.kept["landmarks_uri"].null_count)
    write_table(join_uri(output, LISTING), mark_duplicates(photos.kept), **LISTING_OPTIONS)
    write_table(join_uri(output, TEST_PHOTOS), photos.tested, **LISTING_OPTIONS)
    return _describe_listing(photos, photos.kept)


class _Photos(NamedTuple):
    """The photos of an input: those for testing, the others, and those of them that take part."""

    tested: pa.Table
    others: pa.Table
    kept: pa.Table
    unread: str


def _list_parts(inputs: str | tuple[str, ...], frame_step: int) -> _Photos:
    """Lists an input; see :func:`write_listing`."""
    listed = list_inputs(inputs, include_test=True)
    tested = listed.filter(listed["is_test"])
    # A copy of a large listing does not fit into memory beside it.
    others = listed.filter(pc.invert(listed["is_test"])) if len(tested) else listed
    kept = subsample_videos(others, frame_step)
    if len(kept) == 0:
        raise RequestError(
            f"input {inputs}: all of its {len(listed)} photos belong to LS3D-W's test "
            "subsets, which are kept for testing; name the subset itself to use it"
        )
    return _Photos(tested, others, kept, unread_note(listed))


def _describe_listing(photos: _Photos, listing: pa.Table) -> dict[str, Any]:
    """Returns what the record of the request has of a listing."""
    is_listed = pc.is_in(photos.others["face_id"], value_set=listing["face_id"])
    num_listed = len(listing) if listing is photos.kept else pc.sum(is_listed).as_py()
    left_out = {
        "test_photos_left_out": len(photos.tested),
        "frames_left_out": len(photos.others) - num_listed,
    }
    return {
        "num_photos": len(listing),
        "num_without_landmarks": listing["landmarks_uri"].null_count,
        "left_out": left_out,
        "unread": photos.unread,
    }


def _follow_input(
    inputs: str | tuple[str, ...], config: GenerateConfig, stored: dict[str, Any], prune: bool
) -> tuple[dict[str, Any], InputChanges]:
    """Adds photos to the listing; returns the record of the request, and what differs."""
    photos = _list_parts(inputs, config.frame_step)
    assert config.output is not None

    def record(update: ListingUpdate) -> dict[str, Any]:
        num_without_landmarks = update.listing["landmarks_uri"].null_count
        require_detector(config.selection.detect_faces, num_without_landmarks)
        return {**stored, **_describe_listing(photos, update.listing)}

    update, written = follow_input(
        config.output,
        OutputFiles(
            ("outcome=face", "outcome=reject"),
            (MANIFEST,),
            keeps_record=True,
            leftovers=lambda *_: [TEST_HASHES],
        ),
        photos.others,
        photos.kept,
        record,
        prune=prune,
        tested=photos.tested,
    )
    return written or {**stored, "unread": photos.unread}, update.changes
