"""A folder of good and bad photos, and the outcome that each must have."""

import shutil
from pathlib import Path

import numpy as np

from rayboot.data.readers import list_photos
from rayboot.io.torch7 import write_torch7

BAD = {
    "empty.jpg": ("read", None),
    "truncated.jpg": ("read", None),
    "text.png": ("read", None),
    "wrong-size.jpg": ("landmarks", None),
    "outside.jpg": ("landmarks", None),
    "no-tensor.jpg": ("landmarks", None),
    "again.jpg": ("read", "duplicate"),
}
"""Stage and reason of the reject that each bad file becomes; None accepts any reason."""

LEFT_TO_DETECTOR = {"wrong-size.jpg", "no-tensor.jpg", "outside.jpg"}
"""Those of the bad files that become faces if a detector is asked: their landmarks are of an
unknown kind, or all far from the photo, which counts as unseen."""


def mixed_folder(folder: Path, synthetic_set: str, num_good: int = 8) -> Path:
    """Writes photos of a synthetic data set, near-frontal and profile, and every kind of bad file.

    Args:
        folder: the folder to create.
        synthetic_set: URI of the synthetic data set.
        num_good: number of its photos.
    """
    folder.mkdir()
    photos = list_photos(synthetic_set).to_pylist()[:num_good]
    for photo in photos:
        for uri in (photo["source_uri"], photo["landmarks_uri"]):
            shutil.copy(uri, folder)
    source, landmarks = Path(photos[0]["source_uri"]), Path(photos[0]["landmarks_uri"])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "truncated.jpg").write_bytes(source.read_bytes()[:700])
    (folder / "text.png").write_bytes(b"this is not an image")
    shutil.copy(source, folder / "again.jpg")
    shutil.copy(landmarks, folder / "again.t7")
    for name, payload in (
        ("wrong-size", write_torch7(np.zeros((51, 2)))),
        ("outside", write_torch7(np.random.default_rng(0).uniform(5000, 6000, (68, 2)))),
        ("no-tensor", write_torch7("a string")),
    ):
        # Appended bytes make the files differ, so that they are not duplicates.
        (folder / f"{name}.jpg").write_bytes(source.read_bytes() + name.encode())
        (folder / f"{name}.t7").write_bytes(payload)
    return folder
