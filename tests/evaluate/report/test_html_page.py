import html.parser
import re
from pathlib import Path

import numpy as np

from rayboot.evaluate.metrics.statistics import Interval
from rayboot.evaluate.report.html_page import (
    DatasetSection,
    Figure,
    Page,
    RejectCount,
    write_report,
)
from rayboot.evaluate.report.plots import plot_cumulative
from rayboot.evaluate.report.tables import Cell, ModelBlock
from rayboot.evaluate.report.worst_faces import Failures, WorstFace
from rayboot.evaluate.results import FaceError

ERRORS = {"a": [FaceError("1", 0.0, 0.1, 0.1)]}


def section(**changes: object) -> DatasetSection:
    empty = DatasetSection(
        name="set",
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


def page(**changes: object) -> Page:
    empty = Page(
        title="A title",
        summary="What came of it.",
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


def written(tmp_path: Path, **changes: object) -> str:
    return write_report(tmp_path / "report.html", page(**changes)).read_text("utf-8")


def test_a_page_without_shapes_is_small_and_has_no_library(tmp_path: Path) -> None:
    text = written(tmp_path)
    assert len(text) < 30_000
    assert text.count("<script") == 1
    assert "Photographs left out" not in text and "Shapes to turn" not in text


def test_figures_rejects_and_facts_of_what_stands_around_are_shown(tmp_path: Path) -> None:
    text = written(
        tmp_path,
        title="A <b>round</b>",
        figures=[Figure("Photos & views", "text", plot_cumulative(ERRORS))],
        rejects=[RejectCount("read", "undecodable", 3)],
        facts={"config": "<script>"},
    )
    assert "<b>round" not in text and "A &lt;b&gt;round" in text
    assert "undecodable" in text and "Photos &amp; views" in text
    assert text.count("data:image/png;base64,") == 1
    assert text.count("<script") == 1
    assert not re.search(r"""(src|href)=["']?https?:""", text)


def test_no_rejects_are_said_to_be_none(tmp_path: Path) -> None:
    assert "every photograph became a pair" in written(tmp_path, rejects=[])


def test_numbers_that_are_not_there_are_dashes(tmp_path: Path) -> None:
    nan = float("nan")
    interval = Interval(2.0, 1.0, 3.0, 5)
    text = written(
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
            section(
                num_measured={"a": 2, "b": 1}, worst=[WorstFace("x.jpg", nan, [5.0, nan], "why")]
            )
        ],
    )
    assert "nan</td>" not in text.lower() and ">–<" in text
    assert "why" in text and 'data-number="nan"' in text
    assert "a 2, b 1." in text


def test_few_of_many_failures_are_named_and_all_counted(tmp_path: Path) -> None:
    ids = [f"{i}.jpg" for i in range(5000)]
    many = [Failures("not there", ["a"], ids)]
    others = [Failures(f"reason {i}", [], ["x"]) for i in range(300)]
    text = written(tmp_path, datasets=[section(failures=[*many, *others])])
    assert "Measured without result: 5000 faces, 1 reason" in text
    assert "4900 more, in summary.json" in text
    assert "Took no part: 300 faces, 300 reasons" in text
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
    picture = Figure("p", "t", plot_cumulative(ERRORS))
    text = written(
        tmp_path,
        datasets=[
            section(
                plots=[picture],
                panels=picture,
                worst=[WorstFace("x", 1.0, [np.pi], "")],
                failures=[Failures("r", [], ["y"])],
            )
        ],
        figures=[picture],
        rejects=[RejectCount("a", "b", 1)],
    )
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
