"""Licences of the dependencies; ``python -m infra.supply.licences`` writes their page of docs.

The licence of a package comes from the metadata of its installation: the SPDX expression, or the
field or classifiers of older metadata. ``licences.toml`` lists the allowed licences, and those that
metadata does not contain.
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
OUTPUT = ROOT / "docs/reference/licences.md"
_TEMPLATE = Path(__file__).with_name("licences.template.md")
_SPDX = get_spdx_licensing()
_CLASSIFIER = "License :: "


class Rules(NamedTuple):
    """Content of ``licences.toml``.

    Attributes:
        allowed: reason by allowed licence.
        named: ``licence`` and ``reason`` by package, allowed for that package only.
        phrases: SPDX expression by name in metadata.
        stated: ``licence`` and ``source`` by package, where metadata has no licence.
        bundled: third-party libraries by the package that contains them.
        data: origin and licence by data file.
    """

    allowed: Mapping[str, str]
    named: Mapping[str, Mapping[str, str]]
    phrases: Mapping[str, str]
    stated: Mapping[str, Mapping[str, str]]
    bundled: Mapping[str, str]
    data: Mapping[str, str]


def read_rules() -> Rules:
    """Reads ``licences.toml`` in the folder of this module."""
    return Rules(**tomllib.loads(Path(__file__).with_name("licences.toml").read_text("utf-8")))


def read_pins() -> dict[str, str]:
    """Returns the versions in constraints.txt by package."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def _normalize(text: str) -> str | None:
    """Returns an SPDX expression in normal form; None if the text is not an expression."""
    try:
        parsed = _SPDX.parse(text)
    except ExpressionError:
        return None
    return None if parsed is None or _SPDX.unknown_license_keys(parsed) else str(parsed)


def installed_licence(name: str, rules: Rules) -> str | None:
    """Returns the licence in the metadata of an installed package; None if it has none.

    Raises:
        PackageNotFoundError: the package is not installed.
    """
    fields: Any = metadata.metadata(name)
    short = [fields.get("License-Expression"), fields.get("License")]
    classifiers = fields.get_all("Classifier") or []
    words = [line.split(" :: ")[-1] for line in classifiers if line.startswith(_CLASSIFIER)]
    for text in filter(None, short):
        expression = rules.phrases.get(text.strip()) or _normalize(text)
        if expression is not None:
            return expression
    known = [rules.phrases[word] for word in words if word in rules.phrases]
    return " AND ".join(known) or None


def licence(name: str, rules: Rules) -> str | None:
    """Returns the licence of a package from the rules, or else from its metadata."""
    if name in rules.stated:
        return rules.stated[name]["licence"]
    return installed_licence(name, rules)


def is_allowed(name: str, expression: str, rules: Rules) -> bool:
    """Whether a licence is allowed for a package: all parts of AND, any part of OR."""
    if name in rules.named:
        return rules.named[name]["licence"] == expression
    return _is_allowed_expression(_SPDX.parse(expression), rules)


def _is_allowed_expression(parsed: Any, rules: Rules) -> bool:
    if isinstance(parsed, _SPDX.AND):
        return all(_is_allowed_expression(part, rules) for part in parsed.args)
    if isinstance(parsed, _SPDX.OR):
        return any(_is_allowed_expression(part, rules) for part in parsed.args)
    return str(parsed) in rules.allowed


def page(rules: Rules) -> str:
    """Returns the text of docs/reference/licences.md for the versions in constraints.txt.

    Raises:
        ValueError: a package is not installed, or has no licence or a forbidden one.
    """
    rows, problems = [], []
    for name, version in read_pins().items():
        try:
            expression = licence(name, rules)
        except metadata.PackageNotFoundError:
            problems.append(
                f"{name}: not installed; run `make env`, or state its licence in licences.toml"
            )
            continue
        if expression is None:
            problems.append(f"{name}: its metadata names no licence; state it in licences.toml")
        elif not is_allowed(name, expression, rules):
            problems.append(
                f"{name}: {expression} is not allowed; remove it, or allow it with a reason"
            )
        rows.append(f"| {name} | {version} | {expression} |")
    if problems:
        raise ValueError("\n".join(problems))
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
    """Runs the command."""
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
