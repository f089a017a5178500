import pytest

from tests.pipeline.preview.pairs import write_mixed_pairs


@pytest.fixture(scope="session")
def mixed_pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of a data set of six faces and seven rejects."""
    return write_mixed_pairs(tmp_path_factory.mktemp("preview"))
