"""The table of the paper: a row a model, a column a set; as Markdown, LaTeX and for the page.

All numbers are those of ``summary.json``; nothing is computed here.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rayboot.evaluate.metrics.bands import interval_of
from rayboot.evaluate.metrics.statistics import Interval
from rayboot.evaluate.protocol import Alignment

__all__ = [
    "Cell",
    "ModelBlock",
    "describe_protocol",
    "model_blocks",
    "table_latex",
    "table_markdown",
]

_TITLES: dict[Alignment, str] = {
    "icp": "after rigid ICP",
    "correspondence": "where the shapes were, ICP only says which points belong together",
}

_DIRECTIONS = {
    "truth_to_prediction": "from every true point to the closest of the reconstruction",
    "prediction_to_truth": "from every reconstructed point over the true face to its closest",
    "both": "from either shape to the other's closest points, their mean",
}

_CLOSEST = {"vertices": "on vertices", "surface": "anywhere on triangles"}

_KEY = (
    "Normalised mean error (NME): mean distance {direction}, in % of the outer eye distance in 3D; "
    "in brackets the 95 % interval over faces, of a change (against {first}) over pairs of the "
    "same face."
)


class Cell(NamedTuple):
    """A model on a set, %; the change against the first model is None for that one itself."""

    nme: Interval
    change: Interval | None


class ModelBlock(NamedTuple):
    """Errors of one alignment.

    Attributes:
        title: of the alignment, in words.
        faces: by set, of how many faces the means are; 0 where there is none.
        rows: by model, a cell a set; None where there is no number.
    """

    title: str
    faces: dict[str, int]
    rows: dict[str, list[Cell | None]]


def model_blocks(summary: Mapping[str, Any]) -> list[ModelBlock]:
    """Means over all faces of each set: after ICP, then for correspondence."""
    datasets, models = list(summary["datasets"]), list(summary["models"])
    blocks = []
    for align, title in _TITLES.items():
        found = {
            (row["model"], row["set"]): row
            for row in summary["rows"]
            if (row["align"], row["band"], row["side"]) == (align, "all", "both")
        }
        faces = {name: found.get((models[0], name), {"faces": 0})["faces"] for name in datasets}
        rows = {
            model: [_cell(found.get((model, name)), first=model == models[0]) for name in datasets]
            for model in models
        }
        blocks.append(ModelBlock(title, faces, rows))
    return blocks


def _cell(row: Mapping[str, Any] | None, *, first: bool) -> Cell | None:
    if row is None:
        return None
    return Cell(interval_of(row), None if first else interval_of(row, "change_"))


def describe_protocol(summary: Mapping[str, Any]) -> str:
    """A sentence on how errors are measured, and the protocol's version with what it sets."""
    protocol = summary["protocol"]
    key = _KEY.format(
        direction=_DIRECTIONS[protocol["direction"]], first=next(iter(summary["models"]))
    )
    scale = "with" if protocol["scale"] else "without"
    reach = protocol["max_correspondence"]
    limit = "" if reach is None else f", pairs up to {reach:g} outer eye distances apart"
    return (
        f"{key} Protocol version {protocol['version']}: closest points "
        f"{_CLOSEST[protocol['closest']]}, ICP {scale} scale, {protocol['icp_points']} points, "
        f"at most {protocol['max_iterations']} steps{limit}; "
        f"for correspondence, depth {protocol['depth'].replace('_', ' ')}."
    )


def table_markdown(summary: Mapping[str, Any]) -> str:
    """The table as Markdown, a block below the other."""
    lines: list[str] = []
    for block in model_blocks(summary):
        head = [f"NME, % ({block.title})"]
        for name, count in block.faces.items():
            head += [f"{_markdown(name)}, {count} faces", "change"]
        lines += [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]
        lines += [_row([_markdown(model), *_texts(cells)]) for model, cells in block.rows.items()]
        lines.append("")
    truths = [f"- {_markdown(name)}: {_markdown(truth)}" for name, truth in _truths(summary)]
    return "\n".join(
        [*lines, _markdown(describe_protocol(summary)), "", "What stands for the truth:", ""]
        + [*truths, ""]
    )


def table_latex(summary: Mapping[str, Any]) -> str:
    r"""The table as LaTeX; wants ``\usepackage{booktabs}``."""
    datasets, blocks = list(summary["datasets"]), model_blocks(summary)
    width = 1 + 2 * len(datasets)
    names = "".join(rf" & \multicolumn{{2}}{{c}}{{{_latex(name)}}}" for name in datasets)
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
            rf"\multicolumn{{{width}}}{{l}}{{\emph{{{_latex(block.title)}}}}} \\",
        ]
        counts = "".join(rf" & \multicolumn{{2}}{{c}}{{{n} faces}}" for n in block.faces.values())
        lines.append(rf"{counts[1:]} \\")
        for model, cells in block.rows.items():
            texts = " & ".join(_latex(text) for text in _texts(cells))
            lines.append(rf"{_latex(model)} & {texts} \\")
    truths = "; ".join(f"{truth} ({name})" for name, truth in _truths(summary))
    caption = f"{describe_protocol(summary)} What stands for the truth: {truths}."
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{_latex(caption)}}}",
            r"\end{table}",
            "",
        ]
    )


def _texts(cells: list[Cell | None]) -> list[str]:
    """Two texts a cell: the error and the change."""
    texts = []
    for cell in cells:
        if cell is None:
            texts += ["–", ""]
            continue
        nme, change = cell.nme, cell.change
        texts.append(f"{nme.mean:.2f} [{nme.low:.2f}, {nme.high:.2f}]")
        texts.append("" if change is None else _signed(change))
    return texts


def _signed(change: Interval) -> str:
    """A change in % with its interval, as text with real minus signs."""
    text = f"{change.mean:+.1f} % [{change.low:+.1f}, {change.high:+.1f}]"
    return text.replace("-", "−")


def _truths(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, facts["truth"]) for name, facts in summary["datasets"].items()]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaper(replaced: Mapping[str, str]) -> Callable[[str], str]:
    pattern = re.compile("|".join(map(re.escape, replaced)))

    def escape(text: str) -> str:
        # A line break would end the row.
        return pattern.sub(lambda found: replaced[found[0]], " ".join(text.split()))

    return escape


_markdown = _escaper(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", **{sign: "\\" + sign for sign in r"\`*_[]|~$#"}}
)
_latex = _escaper(
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
