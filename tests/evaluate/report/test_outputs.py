import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path

import pytest

from rayboot.evaluate.report.html_page import RejectCount, ReportFigure
from rayboot.evaluate.report.outputs import PageContext, ReportInput, make_file_stems, write_outputs
from rayboot.evaluate.report.summary import summarize
from rayboot.evaluate.results import Results
from tests.evaluate.report.synthetic_examples import MALICIOUS_NAME

Outputs = tuple[Path, list[Path]]

PLOTS = ("yaw", "yaw-signed", "bands", "cumulative", "histogram", "panels")


class Elements(html.parser.HTMLParser):
    """Collects all elements with their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        # The content of a script is data until the script ends.
        if self.cdata_elem == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def page(report_outputs: Outputs) -> Elements:
    return Elements(report_outputs[0].read_text("utf-8"))


def test_all_files_are_in_the_folder(report_outputs: Outputs) -> None:
    page, files = report_outputs
    folder = page.parent
    written = sorted(path for path in folder.rglob("*") if path.is_file())
    assert sorted(files) == written
    stem = "made-i-..-100"
    assert {str(path.relative_to(folder)) for path in files} == {
        "report.html",
        "table1.md",
        "table1.tex",
        *(f"plots/{stem}-{plot}.png" for plot in PLOTS),
    }
    for path in files:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name)
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")


def test_the_page_is_below_10_mb(report_outputs: Outputs) -> None:
    assert report_outputs[0].stat().st_size < 10e6


def test_names_are_inserted_as_text_only(page: Elements) -> None:
    tags = [tag for tag, _ in page.tags]
    # Sorting of tables, the viewer, the shapes and report.js.
    assert tags.count("script") == 4 == len(page.scripts)
    assert "i" not in tags and "td" in tags
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        assert "javascript:" not in (attributes.get("href") or "")
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/", "#")), (tag, value)
    assert "hacked=1" not in page.scripts[-1]


def test_the_policy_allows_the_page_s_own_scripts_only(page: Elements) -> None:
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None and policy.startswith("default-src 'none'")
    (data,) = [script for script in page.scripts if script.startswith("{")]
    running = [script for script in page.scripts if script is not data]
    assert policy.count("'sha256-") == len(running) == 3
    for script in running:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    # Shapes are data, which their type distinguishes from scripts; the name is complete in them.
    assert MALICIOUS_NAME in json.loads(data)["faces"][0]["label"]


def test_reasons_counts_and_notes_are_on_the_page(report_outputs: Outputs) -> None:
    text = report_outputs[0].read_text("utf-8")
    body = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "24 faces" in body and "23 faces" in body
    assert "Could not be measured: 1 face, 1 reason" in body
    assert "Excluded from the measurement: 1 face, 1 reason" in body
    assert "A note &lt;/script&gt;" in body
    assert "left out &lt;/script&gt;" in body
    assert "Protocol version 1" in body
    assert body.count('class="thumb"') == 20


def test_the_context_is_shown_and_the_page_can_be_written_elsewhere(
    report_input: ReportInput, tmp_path: Path, report_outputs: Outputs
) -> None:
    plot = (report_outputs[0].parent / "plots/made-i-..-100-yaw.png").read_bytes()
    context = PageContext(
        title="One round",
        summary="It went well.",
        figures=[ReportFigure("Contact sheet", "Photos and views.", plot)],
        rejects=[RejectCount("select", "not-frontal", 7)],
        facts={"time": "12 s"},
    )
    # Without errors there is no shape to show, but still a page.
    results = report_input.measurements.results
    empty = Results(results.rows.slice(0, 0), results.datasets, results.models)
    measurements = report_input.measurements._replace(results=empty)
    summary = summarize(measurements, report_input.config, report_input.models, {})
    without_errors = report_input._replace(measurements=measurements, summary=summary)
    page, files = write_outputs(
        without_errors, tmp_path / "evaluation", context, tmp_path / "report.html"
    )
    assert page == tmp_path / "report.html" and page in files
    text = page.read_text("utf-8")
    for part in ("One round", "It went well.", "Contact sheet", "not-frontal", "12 s"):
        assert part in text
    assert "Interactive 3D shapes" not in text


def test_datasets_of_similar_names_have_different_files() -> None:
    stems = make_file_stems(["a b", "a/b", "A B", "..", "<>", "AFLW2000-3D"])
    assert stems == ["a-b", "a-b-2", "A-B-3", "set", "set-5", "AFLW2000-3D"]
