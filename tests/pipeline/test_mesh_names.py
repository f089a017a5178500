import posixpath

import pytest

from rayboot.pipeline.mesh_names import assign_mesh_names, face_mesh_name


def test_a_mesh_is_named_as_its_photo() -> None:
    assert assign_mesh_names(["a/b.jpg", "c.d.png", "Ann.JPG", "no-suffix"]) == [
        "a/b", "c.d", "Ann", "no-suffix",
    ]  # fmt: skip


def test_suffixes_tell_photos_of_one_stem_apart() -> None:
    assert assign_mesh_names(["a.jpg", "a.png", "b.jpg"]) == ["a_jpg", "a_png", "b"]


COLLIDING = [
    ["a_.b.jpg", "a_b.jpg"],
    ["a.jpg", "a.png", "a_jpg.png", "a_png.jpg", "a_jpg_png.gif"],
    ["A.jpg", "a.jpg", "a.JPG", "A.JPG"],
    ["Dir/x.jpg", "dir/x.jpg", "dir/X.png"],
    ["M\u00fcller.jpg", "Mu\u0308ller.jpg"],
    ["a//b.jpg", "a/b.jpg", "a/./b.jpg"],
    [r"a\xF1.jpg", "a_xF1.jpg"],
    ["x" * 300 + "1.jpg", "x" * 300 + "2.jpg"],
    ["a.jpg", "a.glb/b.jpg", "a.ply/b.jpg", "a.PLY/b.jpg"],
    ["stra\u00dfe.jpg", "STRASSE.jpg"],
    ["/".join(["d" * 100] * 12) + f"/{n}.jpg" for n in range(3)],
]


@pytest.mark.parametrize("face_ids", COLLIDING)
def test_names_never_collide(face_ids: list[str]) -> None:
    names = assign_mesh_names(face_ids)
    files = [posixpath.normpath(f"{name}.glb").casefold() for name in names]
    assert len(set(files)) == len(face_ids)
    folders = {posixpath.dirname(file) for file in files}
    assert not folders & set(files)


@pytest.mark.parametrize("name", ["人" * 80, "a" * 255, r"\xFF" * 250, "é" * 400, "😀" * 63])
def test_names_are_bounded_and_keep_their_beginning(name: str) -> None:
    (short,) = assign_mesh_names([f"{name}/{name}.jpg"])
    for part in short.split("/"):
        # A temporary file adds a dot, the suffix and some letters.
        assert len(part.encode()) <= 180
        assert part[:5] == name.replace("\\", "_")[:5]
    # The same name in every run.
    assert assign_mesh_names([f"{name}/{name}.jpg", "other.jpg"])[0] == short


def test_a_long_path_fits_into_a_key() -> None:
    face_id = "/".join(["folder" * 10] * 30) + "/photo.jpg"
    (name,) = assign_mesh_names([face_id])
    assert len(name.encode()) < 200 and name.startswith("photo-")


def test_numbered_faces_have_names_of_their_own() -> None:
    photos = ["a.jpg", "a-1.jpg", "a-1-1.jpg", "A.png", "a-2/b.jpg", "x" * 300 + ".jpg"]
    names = [face_mesh_name(name, k) for name in assign_mesh_names(photos) for k in (1, 2, 11)]
    assert len({name.casefold() for name in names}) == len(names)
    assert max(len(name.encode()) for name in names) < 190
