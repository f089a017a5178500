"""The paper's Table 1 with one row per model and one column per dataset.

It is written as Markdown and LaTeX, and as blocks for the page. All numbers are those of
``summary.json``; nothing is computed here.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rayboot.evaluate.metrics.bands import interval_from_row
from rayboot.evaluate.metrics.statistics import Interval
from rayboot.evaluate.protocol import Alignment

__all__ = [
    "Cell",
    "ModelBlock",
    "build_model_blocks",
    "describe_protocol",
    "format_latex_table",
    "format_markdown_table",
]

_TITLES: dict[Alignment, str] = {
    "icp": "after rigid ICP",
    "correspondence": "at the original positions of points that ICP finds to correspond",
}

_DIRECTIONS = {
    "truth_to_prediction": "from every true point to the closest point of the reconstruction",
    "prediction_to_truth": "from every predicted vertex over the true face to its closest point",
    "both": "from the points of either shape to the closest points of the other, averaged",
}

_CLOSEST = {"vertices": "on vertices", "surface": "anywhere on triangles"}

_KEY = (
    "Normalised mean error (NME): mean distance {direction}, in % of the outer eye distance in 3D; "
    "in brackets the 95 % interval over faces; changes are against {first}, on the same faces."
)


class Cell(NamedTuple):
    """Error of a model on a dataset, %, and its change; None for the first model itself."""

    nme: Interval
    change: Interval | None


class ModelBlock(NamedTuple):
    """Errors after one alignment.

    Attributes:
        title: The alignment in words.
        num_faces: Number of faces in the means, by dataset; 0 where there is none.
        rows: One cell per dataset, by model; None where there is no error.
    """

    title: str
    num_faces: dict[str, int]
    rows: dict[str, list[Cell | None]]


def build_model_blocks(summary: Mapping[str, Any]) -> list[ModelBlock]:
    """Returns the means over all faces of each dataset: after ICP, then for correspondence."""
    datasets, models = list(summary["datasets"]), list(summary["models"])
    blocks = []
    for align, title in _TITLES.items():
        row_of = {
            (row["model"], row["dataset"]): row
            for row in summary["rows"]
            if (row["align"], row["band"], row["side"]) == (align, "all", "both")
        }
        num_faces = {
            name: row_of.get((models[0], name), {"faces": 0})["faces"] for name in datasets
        }
        rows = {
            model: [_cell(row_of.get((model, name)), first=model == models[0]) for name in datasets]
            for model in models
        }
        blocks.append(ModelBlock(title, num_faces, rows))
    return blocks


def _cell(row: Mapping[str, Any] | None, *, first: bool) -> Cell | None:
    if row is None:
        return None
    return Cell(interval_from_row(row), None if first else interval_from_row(row, "change_"))


def describe_protocol(summary: Mapping[str, Any]) -> str:
    """Describes how errors are measured: a sentence, then the protocol's version and settings."""
    protocol = summary["protocol"]
    key = _KEY.format(
        direction=_DIRECTIONS[protocol["direction"]], first=next(iter(summary["models"]))
    )
    scale = "with" if protocol["scale"] else "without"
    max_distance = protocol["max_correspondence"]
    limit = ""
    if max_distance is not None:
        limit = f", pairs up to {max_distance:g} outer eye distances apart"
    return (
        f"{key} Protocol version {protocol['version']}: closest points "
        f"{_CLOSEST[protocol['closest']]}, ICP {scale} scale, {protocol['icp_points']} points, "
        f"at most {protocol['max_iterations']} steps{limit}; "
        f"for correspondence, depth {protocol['depth'].replace('_', ' ')}."
    )


def format_markdown_table(summary: Mapping[str, Any]) -> str:
    """Returns the table as Markdown, one block below the other."""
    lines: list[str] = []
    for block in build_model_blocks(summary):
        head = [f"NME, % ({block.title})"]
        for name, count in block.num_faces.items():
            head += [f"{_escape_markdown(name)}, {count} faces", "change"]
        lines += [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]
        lines += [
            _row([_escape_markdown(model), *_cell_texts(cells)])
            for model, cells in block.rows.items()
        ]
        lines.append("")
    truths = [
        f"- {_escape_markdown(name)}: {_escape_markdown(truth)}" for name, truth in _truths(summary)
    ]
    protocol = _escape_markdown(describe_protocol(summary))
    return "\n".join([*lines, protocol, "", "Ground truth:", "", *truths, ""])


def format_latex_table(summary: Mapping[str, Any]) -> str:
    r"""Returns the table as LaTeX, which requires ``\usepackage{booktabs}``."""
    datasets, blocks = list(summary["datasets"]), build_model_blocks(summary)
    width = 1 + 2 * len(datasets)
    names = "".join(rf" & \multicolumn{{2}}{{c}}{{{_escape_latex(name)}}}" for name in datasets)
    rules = "".join(rf" \cmidrule(lr){{{2 * k + 2}-{2 * k + 3}}}" for k in range(len(datasets)))
    lines = [
        rf"\begin{{tabular}}{{l{'rr' * len(datasets)}}}",
        r"\toprule",
        rf"{names} \\",
        rules[1:],
    ]
    lines.append("model" + " & NME, \\% & change" * len(datasets) + r" \\")
    for block in blocks:
        lines += [
            r"\midrule",
            rf"\multicolumn{{{width}}}{{l}}{{\emph{{{_escape_latex(block.title)}}}}} \\",
        ]
        counts = "".join(
            rf" & \multicolumn{{2}}{{c}}{{{n} faces}}" for n in block.num_faces.values()
        )
        lines.append(rf"{counts[1:]} \\")
        for model, cells in block.rows.items():
            texts = " & ".join(_escape_latex(text) for text in _cell_texts(cells))
            lines.append(rf"{_escape_latex(model)} & {texts} \\")
    truths = "; ".join(f"{truth} ({name})" for name, truth in _truths(summary))
    caption = f"{describe_protocol(summary)} Ground truth: {truths}."
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{_escape_latex(caption)}}}",
            r"\end{table}",
            "",
        ]
    )


def _cell_texts(cells: list[Cell | None]) -> list[str]:
    """Returns two texts per cell: the error and the change."""
    texts = []
    for cell in cells:
        if cell is None:
            texts += ["–", ""]
            continue
        nme, change = cell.nme, cell.change
        texts.append(f"{nme.mean:.2f} [{nme.low:.2f}, {nme.high:.2f}]")
        texts.append("" if change is None else _format_change(change))
    return texts


def _format_change(change: Interval) -> str:
    """Formats a change in % with its interval, with real minus signs."""
    text = f"{change.mean:+.1f} % [{change.low:+.1f}, {change.high:+.1f}]"
    return text.replace("-", "−")


def _truths(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, facts["truth"]) for name, facts in summary["datasets"].items()]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _make_escaper(replacements: Mapping[str, str]) -> Callable[[str], str]:
    pattern = re.compile("|".join(map(re.escape, replacements)))

    def escape(text: str) -> str:
        # A line break would end the row of the table.
        return pattern.sub(lambda match: replacements[match[0]], " ".join(text.split()))

    return escape


_escape_markdown = _make_escaper(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", **{sign: "\\" + sign for sign in r"\`*_[]|~$#"}}
)
_escape_latex = _make_escaper(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        "–": "--",
        "−": "$-$",
        **{sign: "\\" + sign for sign in "{}$&#_%"},
    }
)
