"""Pairs as tar shards that the package webdataset, and any reader of tar files, can read.

A sample is the files of one name: the image as the data set stores it (``.jpg`` or ``.png``),
``.npz`` with the target, and ``.json`` with what else is known of the view. Shards have a limited
size, are written one after the other, each completely or not at all, and are the same bytes
whenever the same data set is exported. ``manifest.json``, written last, lists them.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from rayboot.data.manifest import read_manifest
from rayboot.data.pair_targets import PairTarget
from rayboot.data.pairs_dataset import PairsDataset, View
from rayboot.data.splits import Split
from rayboot.errors import RequestError
from rayboot.io.places import is_inside
from rayboot.io.storage import exists, join_uri, read_bytes, remove, write_bytes

__all__ = ["DEFAULT_SHARD_BYTES", "ShardsSummary", "export_pairs"]

DEFAULT_SHARD_BYTES = 256 * 2**20
"""Size of a shard: one request of a store, and enough samples for a shuffle."""

_MANIFEST, _PROGRESS = "manifest.json", "_progress.json"

_BLOCK = 512
"""Bytes of a tar file's header, and multiple to which its contents are padded."""

_END = 2 * _BLOCK
"""Bytes that mark the end of a tar file."""

_SPLITS: tuple[Split, ...] = ("train", "val")


class ShardsSummary(NamedTuple):
    """Result of an export.

    Attributes:
        num_samples: number of samples of each split.
        num_shards: number of shards.
        num_bytes: size of all shards.
    """

    num_samples: dict[str, int]
    num_shards: int
    num_bytes: int


def export_pairs(
    uri: str,
    output: str,
    target: PairTarget | Literal["none"] = "occupancy",
    *,
    include_source: bool = False,
    max_shard_bytes: int = DEFAULT_SHARD_BYTES,
) -> ShardsSummary:
    """Writes the views of a pairs data set as tar shards; the same call again resumes.

    Args:
        uri: URI of a finished pairs data set.
        output: URI of the folder that receives ``train-000000.tar``, ``val-000000.tar`` and so on.
        target: kind of the targets, or ``none``.
        include_source: whether unrotated photos are samples as well.
        max_shard_bytes: size of a shard, which only a single larger sample exceeds.

    Raises:
        UnfinishedDataError, RequestError, StoreError: as :class:`PairsDataset` raises them.
        RequestError: ``output`` holds an export of other settings, or is in the data set.
    """
    manifest = read_manifest(uri)
    request = {
        "format": "webdataset",
        "source": uri,
        "source_config_digest": "" if manifest is None else manifest.config_digest,
        "source_finished_at": "" if manifest is None else manifest.finished_at,
        "target": target,
        "include_source": include_source,
        "max_shard_bytes": max_shard_bytes,
    }
    if is_inside(output, uri):
        raise RequestError(
            f"output {output}: expected a place outside of the data set {uri}, got one in it; "
            "choose a folder beside it"
        )
    finished = _read_record(output, _MANIFEST, request)
    if finished is not None:
        return _summarize(finished["shards"])
    progress = _read_record(output, _PROGRESS, request) or {"shards": []}
    shards: list[dict[str, Any]] = progress["shards"]
    for split in _SPLITS:
        done = [shard for shard in shards if shard["split"] == split]
        dataset = _open_split(uri, split, target, include_source)
        if dataset is None:
            continue
        start = sum(shard["num_samples"] for shard in done)
        for number, (samples, payload) in enumerate(
            _pack_shards(dataset, start, max_shard_bytes), len(done)
        ):
            name = f"{split}-{number:06d}.tar"
            write_bytes(join_uri(output, name), payload)
            shards.append(
                {
                    "name": name,
                    "split": split,
                    "num_samples": samples,
                    "num_bytes": len(payload),
                    "sha256": hashlib.sha256(payload).hexdigest(),
                }
            )
            _write_record(output, _PROGRESS, {**request, "shards": shards})
    _write_record(output, _MANIFEST, {**request, "shards": shards})
    remove(join_uri(output, _PROGRESS))
    return _summarize(shards)


def _read_record(output: str, name: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """Returns a record of this export; None where there is none.

    Raises:
        RequestError: the record is of an export of other settings, or of something else.
    """
    path = join_uri(output, name)
    if not exists(path):
        return None
    try:
        record: dict[str, Any] = json.loads(read_bytes(path))
        other = next((key for key in request if record[key] != request[key]), None)
    except (ValueError, TypeError, KeyError) as error:
        raise RequestError(
            f"{path}: expected the record of an export, got another file; give an empty folder"
        ) from error
    if other is not None:
        raise RequestError(
            f"{output}: holds an export with {other} {record[other]!r}, this one has "
            f"{request[other]!r}; give another folder, or remove that one"
        )
    return record


def _write_record(output: str, name: str, record: dict[str, Any]) -> None:
    write_bytes(join_uri(output, name), (json.dumps(record, indent=1) + "\n").encode())


def _summarize(shards: list[dict[str, Any]]) -> ShardsSummary:
    counts: dict[str, int] = dict.fromkeys(_SPLITS, 0)
    for shard in shards:
        counts[shard["split"]] += shard["num_samples"]
    return ShardsSummary(counts, len(shards), sum(shard["num_bytes"] for shard in shards))


def _open_split(
    uri: str, split: Split, target: PairTarget | Literal["none"], include_source: bool
) -> PairsDataset | None:
    """Returns the data set of a split; None where it has no face while the other one has."""
    kind = None if target == "none" else target
    whole = PairsDataset(uri, target=kind)
    if split not in whole.splits:
        return None
    return PairsDataset(uri, split, target=kind, include_source=include_source)


def _pack_shards(dataset: PairsDataset, start: int, max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yields the numbers of samples and the bytes of the shards from a sample on."""
    packed: list[tuple[str, bytes]] = []
    num_samples, size = 0, _END
    for number in range(start, len(dataset)):
        files = _pack_sample(dataset, number)
        added = sum(_BLOCK + _round_up(len(content), _BLOCK) for _, content in files)
        if num_samples and _round_up(size + added, tarfile.RECORDSIZE) > max_bytes:
            yield num_samples, _tar(packed)
            packed, num_samples, size = [], 0, _END
        packed += files
        num_samples, size = num_samples + 1, size + added
    if num_samples:
        yield num_samples, _tar(packed)


def _round_up(count: int, step: int) -> int:
    return count + -count % step


def _pack_sample(dataset: PairsDataset, number: int) -> list[tuple[str, bytes]]:
    """Returns the files of a sample by name."""
    view = dataset.read_view(number)
    # A name must have no dot but the one before the suffix; face_id has any.
    key = f"{number:09d}"
    suffix = "png" if view.image.startswith(b"\x89PNG") else "jpg"
    files = [(f"{key}.{suffix}", view.image), (f"{key}.json", _describe(dataset, view))]
    target = dataset.make_target(view)
    if target is not None:
        assert dataset.target is not None
        files.append((f"{key}.npz", _encode_target(dataset.target, target)))
    return files


def _describe(dataset: PairsDataset, view: View) -> bytes:
    transform = np.eye(3, 4) if view.transform is None else view.transform
    values = {
        "face_id": view.face["face_id"],
        "yaw_deg": view.yaw_deg,
        "pitch_deg": view.pitch_deg,
        "gaze": None if np.isnan(view.gaze).any() else view.gaze.tolist(),
        "is_source": view.transform is None,
        "transform": transform.tolist(),
        "target": dataset.target,
        "shape": list(dataset.shape),
    }
    return json.dumps(values).encode()


def _encode_target(kind: PairTarget, target: torch.Tensor) -> bytes:
    """Returns the target as the only array of an .npz file, which needs no pickle to be read."""
    array = target.numpy()
    if kind == "soft_occupancy":
        # In 8 bits, whose steps move the surface by a 500th of a pixel at most.
        array = np.rint(array * 255).astype(np.uint8)
    arrays: dict[str, Any] = {kind: array}
    with io.BytesIO() as buffer:
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()


def _tar(files: list[tuple[str, bytes]]) -> bytes:
    """Returns a tar file whose bytes depend on nothing but its content."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, content in files:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()
