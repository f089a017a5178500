"""Folders of runs below an input: their crops and textures are no photos."""

from pathlib import Path

import pytest

from rayboot.data.readers import INDEX_NAME, list_photos
from rayboot.data.readers.run_outputs import RUN_LISTING, describe_outputs, without_outputs
from rayboot.data.readers.unread import unread_note
from rayboot.errors import RequestError
from tests.data.readers.layouts import MakeDataset, write_parquet


def test_outputs_are_left_out_and_packed_sets_stay() -> None:
    names = [
        *(
            "a.jpg",
            "meshes/a.png",
            f"meshes/{RUN_LISTING}",
            "meshes2/b.png",
            "x_run/listing.parquet",
        ),
        *(f"packed/{RUN_LISTING}", f"packed/{INDEX_NAME}", "packed/0.parquet"),
        *("packed/manifests/000001.index", "packed/extra.jpg"),
    ]
    kept, outputs = without_outputs(dict.fromkeys(names, 0))
    assert outputs == ["meshes"]
    assert set(kept) == {
        *("a.jpg", "meshes2/b.png", "x_run/listing.parquet"),
        *(f"packed/{INDEX_NAME}", "packed/0.parquet", "packed/extra.jpg"),
    }


def test_the_sentence_names_some_of_them() -> None:
    assert describe_outputs([]) == ""
    assert describe_outputs(["a"]).startswith(
        "1 folder is the output of a run and is not read (a);"
    )
    assert "5 folders are outputs of runs and are not read (a, b, c, ...)" in describe_outputs(
        list("abcde")
    )


def test_a_listing_names_what_runs_wrote(make_dataset: MakeDataset) -> None:
    uri = make_dataset("a.jpg", "out/meshes/a.png", f"out/{RUN_LISTING}")
    photos = list_photos(uri)
    assert photos["face_id"].to_pylist() == ["a.jpg"]
    assert "1 folder is the output of a run and is not read (out)" in unread_note(photos)


def test_an_output_alone_is_no_input(tmp_path: Path) -> None:
    """Crops of pairs, or a part of the photos that an interrupted pack has written."""
    write_parquet(tmp_path / "0.parquet", image=[b"1"])
    write_parquet(tmp_path / RUN_LISTING, face_id=["a.jpg"])
    with pytest.raises(
        RequestError, match=r"no photo found.*the output of a run .*the input itself"
    ):
        list_photos(str(tmp_path))


def test_photos_among_the_rows_of_a_former_version_are_read(make_dataset: MakeDataset) -> None:
    uri = make_dataset("a.jpg", RUN_LISTING, "outcome=face/0.parquet", "outcome=reject/0.parquet")
    assert list_photos(uri)["face_id"].to_pylist() == ["a.jpg"]
