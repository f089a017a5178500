"""Licences of what rayboot needs: ``python -m infra.supply.licences`` writes docs/licences.md.

What a package is under comes from the metadata that it is installed with: its SPDX expression, or
the field or classifiers of older ones. ``licences.toml`` says which are allowed, and what metadata
leaves open.
"""

import sys
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from license_expression import ExpressionError, get_spdx_licensing

__all__ = ["OUTPUT", "Rules", "installed_licence", "is_allowed", "page", "read_pins", "read_rules"]

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "docs/licences.md"
_TEMPLATE = Path(__file__).with_name("licences.template.md")
_SPDX = get_spdx_licensing()
_CLASSIFIER = "License :: "


class Rules(NamedTuple):
    """What ``licences.toml`` says.

    Attributes:
        allowed: reasons by licence.
        named: ``licence`` and ``reason`` by package, for that package only.
        phrases: SPDX expressions by what metadata says in words.
        stated: ``licence`` and ``source`` by package.
        bundled: libraries of others by the package that brings them.
        data: origins and licences by file.
    """

    allowed: Mapping[str, str]
    named: Mapping[str, Mapping[str, str]]
    phrases: Mapping[str, str]
    stated: Mapping[str, Mapping[str, str]]
    bundled: Mapping[str, str]
    data: Mapping[str, str]


def read_rules() -> Rules:
    """Those of the file beside this one."""
    return Rules(**tomllib.loads(Path(__file__).with_name("licences.toml").read_text("utf-8")))


def read_pins() -> dict[str, str]:
    """Versions in constraints.txt, by package."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def _normal(text: str) -> str | None:
    """An SPDX expression in its usual form; None where the text is none."""
    try:
        parsed = _SPDX.parse(text)
    except ExpressionError:
        return None
    return None if parsed is None or _SPDX.unknown_license_keys(parsed) else str(parsed)


def installed_licence(name: str, rules: Rules) -> str | None:
    """What the installed package is under, as its metadata says; None where it says nothing.

    Raises:
        PackageNotFoundError: it is not installed.
    """
    told: Any = metadata.metadata(name)
    short = [told.get("License-Expression"), told.get("License")]
    classifiers = told.get_all("Classifier") or []
    words = [line.split(" :: ")[-1] for line in classifiers if line.startswith(_CLASSIFIER)]
    for text in filter(None, short):
        found = rules.phrases.get(text.strip()) or _normal(text)
        if found is not None:
            return found
    known = [rules.phrases[word] for word in words if word in rules.phrases]
    return " AND ".join(known) or None


def licence(name: str, rules: Rules) -> str | None:
    """What a package is under: as stated in the rules, or as its metadata says."""
    if name in rules.stated:
        return rules.stated[name]["licence"]
    return installed_licence(name, rules)


def is_allowed(name: str, expression: str, rules: Rules) -> bool:
    """Whether a package may be under this: all parts of AND, any of OR."""
    if name in rules.named:
        return rules.named[name]["licence"] == expression
    return _fits(_SPDX.parse(expression), rules)


def _fits(parsed: Any, rules: Rules) -> bool:
    if isinstance(parsed, _SPDX.AND):
        return all(_fits(part, rules) for part in parsed.args)
    if isinstance(parsed, _SPDX.OR):
        return any(_fits(part, rules) for part in parsed.args)
    return str(parsed) in rules.allowed


def page(rules: Rules) -> str:
    """The text of docs/licences.md, for the versions in constraints.txt.

    Raises:
        ValueError: a package is not installed, has no licence, or one that is not allowed.
    """
    rows, faults = [], []
    for name, version in read_pins().items():
        try:
            found = licence(name, rules)
        except metadata.PackageNotFoundError:
            faults.append(f"{name}: not installed; `make env`, or state its licence")
            continue
        if found is None:
            faults.append(f"{name}: its metadata names no licence; state it in licences.toml")
        elif not is_allowed(name, found, rules):
            faults.append(f"{name}: {found} is not allowed; drop the package, or give a reason")
        rows.append(f"| {name} | {version} | {found} |")
    if faults:
        raise ValueError("\n".join(faults))
    return _TEMPLATE.read_text("utf-8").format(
        packages="\n".join(rows),
        named="\n".join(
            f"- {name}, {entry['licence']}: {entry['reason']}."
            for name, entry in rules.named.items()
        ),
        allowed="\n".join(f"| {name} | {reason} |" for name, reason in rules.allowed.items()),
        bundled="\n".join(f"| {name} | {text} |" for name, text in rules.bundled.items()),
        data="\n".join(f"| `{name}` | {text} |" for name, text in rules.data.items()),
    )


def main() -> int:
    """The command."""
    try:
        text = page(read_rules())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    OUTPUT.write_text(text, "utf-8")
    print(OUTPUT.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
