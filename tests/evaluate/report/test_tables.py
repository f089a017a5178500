import json
import re
from typing import Any

import pytest

from rayboot.evaluate.report.outputs import ReportInput
from rayboot.evaluate.report.tables import (
    build_model_blocks,
    describe_protocol,
    format_latex_table,
    format_markdown_table,
)


@pytest.fixture(scope="module")
def summary(report_input: ReportInput) -> dict[str, Any]:
    # As it is read from the file.
    return json.loads(json.dumps(report_input.summary))


def rows_of_all(summary: dict[str, Any], align: str) -> list[dict[str, Any]]:
    return [
        row
        for row in summary["rows"]
        if (row["align"], row["band"], row["side"]) == (align, "all", "both")
    ]


@pytest.mark.parametrize(("index", "align"), [(0, "icp"), (1, "correspondence")])
def test_numbers_are_those_of_the_summary(summary: dict[str, Any], index: int, align: str) -> None:
    block = build_model_blocks(summary)[index]
    rows = rows_of_all(summary, align)
    assert list(block.num_faces.values()) == [23]
    assert list(block.rows) == list(summary["models"])
    for (cell,), row in zip(block.rows.values(), rows, strict=True):
        assert cell is not None
        assert cell.nme == (row["mean"], row["low"], row["high"], row["faces"])
        if row["model"] != rows[0]["model"]:
            assert cell.change is not None
            assert cell.change[:3] == tuple(row[f"change_{k}"] for k in ("mean", "low", "high"))
        else:
            assert cell.change is None


@pytest.mark.parametrize("write", [format_markdown_table, format_latex_table])
def test_every_number_is_in_the_table(summary: dict[str, Any], write: Any) -> None:
    text = write(summary).replace("$-$", "-").replace("−", "-").replace("\\", "")
    for align in ("icp", "correspondence"):
        for row in rows_of_all(summary, align):
            assert f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" in text
        assert f"{row['change_mean']:+.1f} %" in text
    assert "23 faces" in text
    assert "Protocol version 1" in text
    assert "dense mesh of the synthetic face" in text


def test_markdown_has_rows_of_one_length(summary: dict[str, Any]) -> None:
    lines = [line for line in format_markdown_table(summary).splitlines() if line.startswith("|")]
    assert len(lines) == 2 * 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert "<" not in "".join(lines)
    assert r"first &lt;b&gt;&amp;\_\$" in lines[2]


def test_latex_is_balanced_and_names_are_escaped(summary: dict[str, Any]) -> None:
    text = format_latex_table(summary)
    unescaped = re.sub(r"\\[{}$&#_%]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    # The remaining dollar signs belong to the minus signs of changes.
    assert unescaped.replace("$-$", "").count("$") == 0
    assert r"first \textless{}b\textgreater{}\&\_\$ &" in text
    assert r"\multicolumn{2}{c}{made ''\textless{}i\textgreater{}'' \& .. 100 \%}" in text
    rows = [line for line in text.splitlines() if line.startswith(("first", "second", "model"))]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {2}


def test_a_model_without_numbers_has_dashes(summary: dict[str, Any]) -> None:
    empty = {**summary, "rows": []}
    block = build_model_blocks(empty)[0]
    assert list(block.num_faces.values()) == [0]
    assert all(cells == [None] for cells in block.rows.values())
    assert "| – |  |" in format_markdown_table(empty)
    assert "-- &" in format_latex_table(empty)


def test_the_protocol_is_described(summary: dict[str, Any]) -> None:
    protocol = {
        **summary["protocol"],
        "direction": "both",
        "scale": True,
        "max_correspondence": 0.2,
        "closest": "surface",
    }
    text = describe_protocol({**summary, "protocol": protocol})
    assert "from the points of either shape" in text and "ICP with scale" in text
    assert "up to 0.2 outer eye distances apart" in text
    assert "anywhere on triangles" in text
    assert "without scale" in describe_protocol(summary)
