from pathlib import Path

import pytest

from tests.data.readers.layouts import MakeDataset


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """Creates a data set of loose files of five bytes, which a listing does not open."""

    def make(*names: str) -> str:
        for name in names:
            file = tmp_path / "LS3D-W" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"12345")
        return str(tmp_path / "LS3D-W")

    return make
