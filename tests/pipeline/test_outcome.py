import pytest

from rayboot.errors import RaybootError, RequestError
from rayboot.pipeline.outcome import require_faces


def test_a_run_without_a_face_names_the_most_frequent_reasons() -> None:
    rejects = {("read", "empty"): 1, ("read", "a"): 2, ("landmarks", "no-face"): 9, ("x", "y"): 1}
    require_faces(1, rejects, "out/index.parquet")
    words = r"none of 13 photos gave a face: 9 landmarks/no-face, 2 read/a, .*\.\.\.; out/index"
    with pytest.raises(RaybootError, match=words) as refused:
        require_faces(0, rejects, "out/index.parquet")
    # Exit status 1: the request was right.
    assert not isinstance(refused.value, RequestError)
