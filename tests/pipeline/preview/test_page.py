import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayboot.errors import RequestError
from rayboot.pipeline.preview import page as module
from rayboot.pipeline.preview.page import describe_pairs, render_page
from rayboot.pipeline.preview.write import write_preview
from tests.data.pair_sets import face, write_pairs, write_rejects
from tests.pipeline.preview.pairs import HOSTILE, posed_face, reject
from tests.s3 import S3Server


def test_the_page_has_every_section(mixed_pairs: str) -> None:
    text = render_page(describe_pairs(mixed_pairs))
    assert "6 faces with 30 views. 7 photos were rejected (53.8% of all)." in text
    titles = re.findall(r"<h2>(.*?)</h2>", text)
    assert titles == [
        *("Yaw and confidence", "Least confident faces", "Random faces"),
        *("Rejected photos", "Table of faces"),
    ]
    assert text.count("<svg") == 3
    assert text.count('<tr><td><img class="thumb"') == 6
    assert "select, not-frontal: 3 photos" in text
    assert "cannot be read: truncated" in text


def test_the_page_is_one_file_and_names_are_escaped(mixed_pairs: str) -> None:
    text = render_page(describe_pairs(mixed_pairs))
    assert HOSTILE not in text and HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in text
    assert text.count("<script") == 1
    assert not re.search(r"""(src|href)=["']?(https?|file):""", text)


def test_least_confident_faces_come_first(mixed_pairs: str) -> None:
    least, drawn = describe_pairs(mixed_pairs).groups
    confidences = [card.confidence for card in least.cards]
    assert confidences == sorted(confidences) and len(confidences) == 6
    assert drawn.text == "All faces of the data set."


def test_a_large_data_set_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUM_CARDS", 3)
    monkeypatch.setattr(module, "MAX_ROWS", 8)
    rows = [posed_face(index % 6, 0.3 + index / 50, index - 5) for index in range(24)]
    rows = [{**row, "face_id": f"{index:02d}.jpg"} for index, row in enumerate(rows)]
    page = describe_pairs(write_pairs(tmp_path / "pairs", rows, 24))
    least, drawn = page.groups
    assert [card.face_id for card in least.cards] == ["00.jpg", "01.jpg", "02.jpg"]
    assert len(drawn.cards) == 3 and drawn.text == "3 of 24 faces, the same each time."
    ids = [row.face_id for row in page.rows]
    assert {"00.jpg", "01.jpg", "22.jpg", "23.jpg"} <= set(ids)  # least confident, most turned
    assert len(set(ids)) == len(ids) <= 8
    assert page.rows_text.startswith(f"{len(ids)} of 24 faces: the 2 least confident")


def test_only_images_of_shown_faces_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the others are no images here: decoding one of them would fail."""
    monkeypatch.setattr(module, "NUM_CARDS", 1)
    monkeypatch.setattr(module, "MAX_ROWS", 4)
    rows = [posed_face(index % 6, 0.3 + index / 50, index) for index in range(20)]
    rows = [{**row, "face_id": f"{index:02d}.jpg"} for index, row in enumerate(rows)]
    shown = {row.face_id for row in describe_pairs(write_pairs(tmp_path / "a", rows, 20)).rows}
    rows = [row if row["face_id"] in shown else {**row, "image": b"none"} for row in rows]
    page = describe_pairs(write_pairs(tmp_path / "b", rows, 20))
    assert {row.face_id for row in page.rows} == shown and len(shown) < 20


def test_an_unfinished_data_set_says_so(tmp_path: Path) -> None:
    uri = Path(write_pairs(tmp_path / "pairs", [face(0)]))
    assert "unfinished" not in describe_pairs(str(uri)).summary
    (uri / "manifest.json").unlink()
    assert "The data set is unfinished" in describe_pairs(str(uri)).summary


def test_faces_without_a_pose_have_no_histogram_of_it(tmp_path: Path) -> None:
    page = describe_pairs(write_pairs(tmp_path / "pairs", [face(0), face(1)]))
    assert [histogram.title for histogram in page.histograms] == ["Yaw of the views"]
    assert [group.title for group in page.groups] == ["Random faces"]
    assert "confidence –, yaw –" in render_page(page)


def test_a_data_set_of_rejects_alone_is_shown(tmp_path: Path) -> None:
    uri = write_rejects(tmp_path / "pairs", [reject("a.jpg", "read", "empty")])
    text = render_page(describe_pairs(uri))
    assert "0 faces with 0 views. 1 photo was rejected (100.0% of all)." in text
    assert "read, empty: 1 photo" in text and "Table of faces" not in text


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"neither a face nor a reject.*--config"):
        describe_pairs(str(tmp_path))


def test_columns_that_older_data_sets_lack_are_not_needed(mixed_pairs: str, tmp_path: Path) -> None:
    table = pa.concat_tables(
        pq.read_table(part, partitioning=None)
        for part in Path(mixed_pairs).glob("outcome=face/*.parquet")
    )
    new = ["surface_depth", "num_people", "unused_landmarks", "target", "target_kind"]
    (tmp_path / "outcome=face").mkdir()
    pq.write_table(table.drop_columns(new), tmp_path / "outcome=face/part.parquet")
    assert len(describe_pairs(str(tmp_path)).rows) == 6


def test_a_data_set_in_a_bucket_gives_the_same_page(
    mixed_pairs: str, tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    filesystem = s3_server.filesystem()
    filesystem.mkdir("preview")
    filesystem.put(mixed_pairs, "preview/pairs", recursive=True)
    local = render_page(describe_pairs(mixed_pairs))
    page = write_preview("s3://preview/pairs", tmp_path / "page.html").read_text("utf-8")
    assert page.replace("s3://preview/pairs", mixed_pairs) == local
