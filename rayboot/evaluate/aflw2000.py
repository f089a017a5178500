"""AFLW2000-3D as it lies on disk: ``imageNNNNN.jpg`` and ``imageNNNNN.mat``.

Its dense truth needs a shape model that may not be shipped. The 68 3D landmarks
of the files stand in: their distance to the reconstructed surface, after rigid
ICP, over the 3D distance of the outer eye corners. It is named as such.
"""

import io

import numpy as np
import pyarrow as pa
import scipy.io

from rayboot.data.images import decode_photo
from rayboot.data.storage import join_uri, list_files, read_bytes
from rayboot.errors import RequestError
from rayboot.evaluate.benchmark import TrueFace
from rayboot.geometry.camera import crop_from_pixel
from rayboot.geometry.crop import apply_affine, landmark_crop, warp_photo
from rayboot.geometry.landmarks import interocular_distance

__all__ = ["IMPLAUSIBLE", "list_faces", "read_face"]

IMPLAUSIBLE = frozenset(f"image{number}" for number in ("00150", "01530"))
"""Published fits whose angles cannot be; left out, and counted by who reports."""


def list_faces(uri: str) -> pa.Table:
    """The faces of a folder, by ``face_id``, the photo's name.

    Raises:
        RequestError: no ``.mat`` stands in the folder.
    """
    stems = sorted(name[:-4] for name in list_files(uri) if name.endswith(".mat"))
    kept = [f"{stem}.jpg" for stem in stems if stem.rsplit("/", 1)[-1] not in IMPLAUSIBLE]
    if not kept:
        raise RequestError(f"{uri}: no imageNNNNN.mat; give the folder of AFLW2000-3D")
    return pa.table({"face_id": kept})


def read_face(uri: str, face_id: str, size: int) -> TrueFace:
    """A photo cropped by its landmarks, which are its truth.

    ``pt3d_68`` counts pixels from 1 and its z grows towards the viewer.
    """
    stem = face_id.rsplit(".", 1)[0]
    annotation = scipy.io.loadmat(io.BytesIO(read_bytes(join_uri(uri, f"{stem}.mat"))))
    points = np.asarray(annotation["pt3d_68"], np.float64)
    pixels = points[:2].T - 1
    affine = landmark_crop(pixels, size)
    plane = crop_from_pixel(apply_affine(affine, pixels), size, size)
    landmarks = np.column_stack([plane, affine[0, 0] * (points[2] - points[2].mean())])
    photo = decode_photo(read_bytes(join_uri(uri, face_id)))
    # The file's yaw has the opposite sign; full turns are wrapped away.
    yaw_deg = -np.degrees(float(annotation["Pose_Para"][0, 1]))
    yaw_deg = (yaw_deg + 180) % 360 - 180
    image = warp_photo(photo, affine, size)
    return TrueFace(face_id, image, landmarks, interocular_distance(landmarks), yaw_deg)
