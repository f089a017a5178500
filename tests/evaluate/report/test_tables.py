import json
import re
from typing import Any

import pytest

from rayboot.evaluate.report.outputs import ReportInput
from rayboot.evaluate.report.summary import summarize
from rayboot.evaluate.report.tables import (
    describe_protocol,
    model_blocks,
    table_latex,
    table_markdown,
)


@pytest.fixture(scope="module")
def summary(odd_subject: ReportInput) -> dict[str, Any]:
    found = summarize(odd_subject.measured, odd_subject.config, odd_subject.models, {})
    # As it is read from the file.
    return json.loads(json.dumps(found))


def rows_of_all(summary: dict[str, Any], align: str) -> list[dict[str, Any]]:
    return [
        row
        for row in summary["rows"]
        if (row["align"], row["band"], row["side"]) == (align, "all", "both")
    ]


@pytest.mark.parametrize(("place", "align"), [(0, "icp"), (1, "correspondence")])
def test_numbers_are_those_of_the_summary(summary: dict[str, Any], place: int, align: str) -> None:
    block = model_blocks(summary)[place]
    rows = rows_of_all(summary, align)
    assert list(block.faces.values()) == [23]
    assert list(block.rows) == list(summary["models"])
    for (cell,), row in zip(block.rows.values(), rows, strict=True):
        assert cell is not None
        assert cell.nme == (row["mean"], row["low"], row["high"], row["faces"])
        if row["model"] != rows[0]["model"]:
            assert cell.change is not None
            assert cell.change[:3] == tuple(row[f"change_{k}"] for k in ("mean", "low", "high"))
        else:
            assert cell.change is None


@pytest.mark.parametrize("write", [table_markdown, table_latex])
def test_every_number_is_written(summary: dict[str, Any], write: Any) -> None:
    text = write(summary).replace("$-$", "-").replace("−", "-").replace("\\", "")
    for align in ("icp", "correspondence"):
        for row in rows_of_all(summary, align):
            assert f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" in text
        assert f"{row['change_mean']:+.1f} %" in text
    assert "23 faces" in text
    assert "Protocol version 1" in text
    assert "dense mesh of the made face" in text


def test_markdown_has_rows_of_one_length(summary: dict[str, Any]) -> None:
    lines = [line for line in table_markdown(summary).splitlines() if line.startswith("|")]
    assert len(lines) == 2 * 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert "<" not in "".join(lines)
    assert r"first &lt;b&gt;&amp;\_\$" in lines[2]


def test_latex_is_balanced_and_names_are_escaped(summary: dict[str, Any]) -> None:
    text = table_latex(summary)
    bare = re.sub(r"\\[{}$&#_%]", "", text)
    assert bare.count("{") == bare.count("}")
    # What is left of dollars are the signs of changes.
    assert bare.replace("$-$", "").count("$") == 0
    assert r"first \textless{}b\textgreater{}\&\_\$ &" in text
    assert r"\multicolumn{2}{c}{made ''\textless{}i\textgreater{}'' \& .. 100 \%}" in text
    rows = [line for line in text.splitlines() if line.startswith(("first", "second", "model"))]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {2}


def test_a_model_without_numbers_has_dashes(summary: dict[str, Any]) -> None:
    empty = {**summary, "rows": []}
    block = model_blocks(empty)[0]
    assert list(block.faces.values()) == [0]
    assert all(cells == [None] for cells in block.rows.values())
    assert "| – |  |" in table_markdown(empty)
    assert "-- &" in table_latex(empty)


def test_the_protocol_is_told(summary: dict[str, Any]) -> None:
    protocol = {
        **summary["protocol"],
        "direction": "both",
        "scale": True,
        "max_correspondence": 0.2,
        "closest": "surface",
    }
    text = describe_protocol({**summary, "protocol": protocol})
    assert "from either shape" in text and "ICP with scale" in text
    assert "up to 0.2 outer eye distances apart" in text
    assert "anywhere on triangles" in text
    assert "without scale" in describe_protocol(summary)
