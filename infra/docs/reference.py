"""The pages of the reference that are made from the code.

``python -m infra.docs.reference`` writes them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from infra.docs.cli_reference import describe_commands
from infra.docs.config_reference import describe_configs

__all__ = ["PAGES"]

_FOLDER = Path(__file__).resolve().parents[2] / "docs/reference"

PAGES: Mapping[Path, Callable[[], str]] = {
    _FOLDER / "cli.md": describe_commands,
    _FOLDER / "config.md": describe_configs,
}
"""Function that makes the page, by its file."""


def _write() -> None:
    for path, describe in PAGES.items():
        path.write_text(describe(), "utf-8")
        print(path)


if __name__ == "__main__":
    _write()
