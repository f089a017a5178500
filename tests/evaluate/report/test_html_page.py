import html.parser
import re
from pathlib import Path

import numpy as np

from rayboot.evaluate.metrics.statistics import Interval
from rayboot.evaluate.report.html_page import (
    DatasetSection,
    Page,
    RejectCount,
    ReportFigure,
    write_page,
)
from rayboot.evaluate.report.plots import plot_cumulative
from rayboot.evaluate.report.tables import Cell, ModelBlock
from rayboot.evaluate.report.worst_faces import FailureGroup, WorstFace
from rayboot.evaluate.results import FaceError

ERRORS = {"a": [FaceError("1", 0.0, 0.1, 0.1)]}


def make_section(**changes: object) -> DatasetSection:
    empty = DatasetSection(
        name="dataset",
        facts={"truth": "none"},
        num_faces=3,
        num_measured={"a": 2},
        note="",
        tables=[],
        plots=[],
        panels=None,
        worst=[],
        thumbnails={},
        failures=[],
    )
    return empty._replace(**changes)


def make_page(**changes: object) -> Page:
    empty = Page(
        title="A title",
        summary="A summary.",
        models=["a"],
        blocks=[],
        key="",
        datasets=[],
        shapes=None,
        figures=[],
        rejects=None,
        facts={},
    )
    return empty._replace(**changes)


def write_html(tmp_path: Path, **changes: object) -> str:
    return write_page(tmp_path / "report.html", make_page(**changes)).read_text("utf-8")


def test_a_page_without_shapes_is_small_and_omits_the_viewer(tmp_path: Path) -> None:
    text = write_html(tmp_path)
    assert len(text) < 30_000
    assert text.count("<script") == 1
    assert "Rejected photos" not in text and "Interactive 3D shapes" not in text


def test_figures_rejects_and_facts_of_the_context_are_shown(tmp_path: Path) -> None:
    text = write_html(
        tmp_path,
        title="A <b>round</b>",
        figures=[ReportFigure("Photos & views", "text", plot_cumulative(ERRORS))],
        rejects=[RejectCount("read", "undecodable", 3)],
        facts={"config": "<script>"},
    )
    assert "<b>round" not in text and "A &lt;b&gt;round" in text
    assert "undecodable" in text and "Photos &amp; views" in text
    assert text.count("data:image/png;base64,") == 1
    assert text.count("<script") == 1
    assert not re.search(r"""(src|href)=["']?https?:""", text)


def test_an_empty_list_of_rejects_is_reported_as_none(tmp_path: Path) -> None:
    assert "every photo became a pair" in write_html(tmp_path, rejects=[])


def test_missing_numbers_are_dashes(tmp_path: Path) -> None:
    nan = float("nan")
    interval = Interval(2.0, 1.0, 3.0, 5)
    text = write_html(
        tmp_path,
        models=["a", "b"],
        blocks=[
            ModelBlock(
                "after ICP",
                {"s": 5},
                {"a": [Cell(interval, None)], "b": [Cell(interval, interval)]},
            ),
            ModelBlock("else", {"s": 0}, {"a": [None], "b": [None]}),
        ],
        datasets=[
            make_section(
                num_measured={"a": 2, "b": 1}, worst=[WorstFace("x.jpg", nan, [5.0, nan], "why")]
            )
        ],
    )
    assert "nan</td>" not in text.lower() and ">–<" in text
    assert "why" in text and 'data-number="nan"' in text
    assert "a 2, b 1." in text


def test_many_failures_are_all_counted_and_partly_listed(tmp_path: Path) -> None:
    ids = [f"{i}.jpg" for i in range(5000)]
    many = [FailureGroup("not there", ["a"], ids)]
    others = [FailureGroup(f"reason {i}", [], ["x"]) for i in range(300)]
    text = write_html(tmp_path, datasets=[make_section(failures=[*many, *others])])
    assert "Could not be measured: 5000 faces, 1 reason" in text
    assert "4900 more, in summary.json" in text
    assert "Excluded from the measurement: 300 faces, 300 reasons" in text
    assert len(text) < 60_000


class Outline(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_element_is_closed_where_it_was_opened(tmp_path: Path) -> None:
    figure = ReportFigure("p", "t", plot_cumulative(ERRORS))
    text = write_html(
        tmp_path,
        datasets=[
            make_section(
                plots=[figure],
                panels=figure,
                worst=[WorstFace("x", 1.0, [np.pi], "")],
                failures=[FailureGroup("r", [], ["y"])],
            )
        ],
        figures=[figure],
        rejects=[RejectCount("a", "b", 1)],
    )
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
