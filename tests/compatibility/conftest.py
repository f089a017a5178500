"""Unpacks what version 0.1 made, once for all tests of compatibility."""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

ARCHIVE = Path(__file__).parent / "v0.1" / "runs.tar.xz"
RECORDED_ROOT = "/v0.1/"
"""Beginning of the absolute paths that the archive's MLflow store records."""


@pytest.fixture(scope="session")
def version_0_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked ``v0.1`` folder, whose MLflow store names this folder; tests only read it."""
    folder = tmp_path_factory.mktemp("version-0.1")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    root = folder / "v0.1"
    relocate_store(root / "round" / "mlflow.db", RECORDED_ROOT, f"{root}/")
    return root


def relocate_store(store: Path, recorded: str, actual: str) -> None:
    """Replaces a path prefix in all text columns of a SQLite store."""
    with closing(sqlite3.connect(store)) as database, database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _, column, kind, *_ in database.execute(f"PRAGMA table_info('{table}')").fetchall():
                if kind.upper().startswith(("VARCHAR", "TEXT", "CHAR", "CLOB")):
                    # Names come from the store's own schema; SQLite binds no identifiers.
                    database.execute(
                        f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '  # noqa: S608
                        f'WHERE instr("{column}", ?)',
                        (recorded, actual, recorded),
                    )
