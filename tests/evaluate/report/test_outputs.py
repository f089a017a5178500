import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path

import pytest

from rayboot.evaluate.report.html_page import Figure, RejectCount
from rayboot.evaluate.report.outputs import PageContext, ReportInput, file_names, write_outputs
from rayboot.evaluate.results import Results
from tests.evaluate.report.synthetic_examples import ODD

Outputs = tuple[Path, list[Path]]

PLOTS = ("yaw", "yaw-signed", "bands", "cumulative", "histogram", "panels")


class Elements(html.parser.HTMLParser):
    """All elements with their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        # What is in a script is data until the script ends.
        if self.cdata_elem == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def page(odd_outputs: Outputs) -> Elements:
    return Elements(odd_outputs[0].read_text("utf-8"))


def test_all_files_are_there_and_lie_in_the_folder(odd_outputs: Outputs) -> None:
    page, files = odd_outputs
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


def test_the_page_is_small_enough_to_be_sent(odd_outputs: Outputs) -> None:
    assert odd_outputs[0].stat().st_size < 10e6


def test_names_become_text_and_nothing_else(page: Elements) -> None:
    tags = [tag for tag, _ in page.found]
    # The library, the shapes and the page's own.
    assert tags.count("script") == 3 == len(page.scripts)
    assert "i" not in tags and "td" in tags
    for tag, attributes in page.found:
        assert not any(name.startswith("on") for name in attributes), tag
        assert "javascript:" not in (attributes.get("href") or "")
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/", "#")), (tag, value)
    assert "hacked=1" not in page.scripts[-1]


def test_only_the_scripts_it_was_written_with_may_run(page: Elements) -> None:
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None and policy.startswith("default-src 'none'")
    (data,) = [script for script in page.scripts if script.startswith("{")]
    running = [script for script in page.scripts if script is not data]
    assert policy.count("'sha256-") == len(running) == 2
    for script in running:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    # Shapes are data, told from scripts by their type; the odd name is whole in them.
    assert ODD in json.loads(data)["faces"][0]["label"]


def test_reasons_counts_and_notes_are_on_the_page(odd_outputs: Outputs) -> None:
    text = odd_outputs[0].read_text("utf-8")
    body = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "24 faces" in body and "23 faces" in body
    assert "Measured without result: 1 faces, 1 reason" in body
    assert "Took no part: 1 faces, 1 reason" in body
    assert "A note &lt;/script&gt;" in body
    assert "left out &lt;/script&gt;" in body
    assert "Protocol version 1" in body
    assert body.count('class="thumb"') == 20


def test_what_stands_around_is_shown_and_the_page_can_lie_elsewhere(
    odd_subject: ReportInput, tmp_path: Path, odd_outputs: Outputs
) -> None:
    picture = (odd_outputs[0].parent / "plots/made-i-..-100-yaw.png").read_bytes()
    frame = PageContext(
        title="One round",
        summary="It went well.",
        figures=[Figure("Contact sheet", "Photos and views.", picture)],
        rejects=[RejectCount("select", "not-frontal", 7)],
        facts={"time": "12 s"},
    )
    # Without a number there is no shape to show, and still a page.
    results = odd_subject.measured.results
    empty = Results(results.rows.slice(0, 0), results.datasets, results.models)
    subject = odd_subject._replace(measured=odd_subject.measured._replace(results=empty))
    page, files = write_outputs(subject, tmp_path / "evaluation", frame, tmp_path / "report.html")
    assert page == tmp_path / "report.html" and page in files
    text = page.read_text("utf-8")
    for part in ("One round", "It went well.", "Contact sheet", "not-frontal", "12 s"):
        assert part in text
    assert "Shapes to turn" not in text


def test_sets_of_like_names_have_files_of_their_own() -> None:
    stems = file_names(["a b", "a/b", "A B", "..", "<>", "AFLW2000-3D"])
    assert stems == ["a-b", "a-b-2", "A-B-3", "set", "set-5", "AFLW2000-3D"]
