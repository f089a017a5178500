"""Licences: the list is that of the installed packages, and all of them are allowed."""

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from infra.supply.licences import OUTPUT, installed_licence, is_allowed, page, read_rules
from tests.test_packaging import ROOT, pins

RULES = read_rules()
CODE = {".py", ".typed", ".pyc", ".yaml", ".js", ".css", ".html", ".j2", ".json"}


def install(folder: Path, name: str, *lines: str) -> None:
    """Writes the metadata of a package like pip."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    text = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines])
    (info / "METADATA").write_text(text + "\n")


def test_the_list_is_that_of_the_installed_packages() -> None:
    assert OUTPUT.read_text("utf-8") == page(RULES), "run `make licences` and check the changes"


def test_every_pin_is_listed_once() -> None:
    rows = re.findall(r"^\| ([a-z0-9-]+) \| (\d\S*) \|", OUTPUT.read_text("utf-8"), re.MULTILINE)
    assert dict(rows) == pins() and len(rows) == len(pins())


@pytest.mark.parametrize(
    ("lines", "expression", "allowed"),
    [
        (["License-Expression: MIT"], "MIT", True),
        (["License-Expression: GPL-3.0-only"], "GPL-3.0-only", False),
        (["License-Expression: GPL-3.0-only OR MIT"], "GPL-3.0-only OR MIT", True),
        (["License-Expression: MIT AND AGPL-3.0-only"], "MIT AND AGPL-3.0-only", False),
        (["License: Apache 2.0"], "Apache-2.0", True),
        (["License: LGPL-3.0-or-later"], "LGPL-3.0-or-later", False),
        (["License: Dual", "Classifier: License :: OSI Approved :: MIT License"], "MIT", True),
        (["License: my own terms"], None, False),
        (["Classifier: License :: Other/Proprietary License"], None, False),
        ([], None, False),
    ],
)
def test_licences_in_metadata(
    lines: list[str],
    expression: str | None,
    allowed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path, "made_up", *lines)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_licence("made-up", RULES) == expression
    assert expression is None or is_allowed("made-up", expression, RULES) == allowed


def test_packages_without_an_allowed_licence_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "tqdm", "License-Expression: GPL-3.0-only")
    install(tmp_path, "sympy", "License: ask me")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=r"tqdm: GPL-3\.0-only is not allowed") as refused:
        page(RULES)
    assert "sympy: its metadata names no licence" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 2


def test_an_exception_is_for_one_package_and_one_licence() -> None:
    assert is_allowed("pykdtree", "LGPL-3.0-or-later", RULES)
    assert not is_allowed("pykdtree", "GPL-3.0-or-later", RULES)
    assert not is_allowed("scipy", "LGPL-3.0-or-later", RULES)


def test_every_rule_is_needed() -> None:
    locked = set(pins())
    assert set(RULES.named) | set(RULES.stated) | set(RULES.bundled) <= locked
    for name in RULES.stated:
        try:
            expression = installed_licence(name, RULES)
        except metadata.PackageNotFoundError:
            continue
        assert expression != RULES.stated[name]["licence"], f"the metadata of {name} has it"


def test_third_party_libraries_in_wheels_are_listed() -> None:
    folders = {folder for path in sys.path for folder in Path(path).glob("*.libs")}
    packages = {canonicalize_name(folder.name.removesuffix(".libs")) for folder in folders}
    assert packages and packages <= set(RULES.bundled)


def test_data_in_the_package_has_an_origin() -> None:
    files = [path for path in (ROOT / "rayboot").rglob("*") if path.is_file()]
    data = {path.relative_to(ROOT).as_posix() for path in files if path.suffix not in CODE}
    assert data == set(RULES.data)
    scripts = re.findall(r"`(jobs/\w+\.py)`", " ".join(RULES.data.values()))
    assert scripts and all((ROOT / script).exists() for script in scripts)
