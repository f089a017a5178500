import json
from pathlib import Path

import pytest

from rayboot.data.fingerprint import Fingerprint
from rayboot.errors import RequestError

NAME = "_run/fingerprint.json"


def test_nothing_is_stored_before_a_run(tmp_path: Path) -> None:
    assert Fingerprint(str(tmp_path), NAME, {"seed": 1}).load() is None


def test_the_same_request_reads_the_details(tmp_path: Path) -> None:
    identity = {"seed": 1, "input": ("a", "b")}
    saved = Fingerprint(str(tmp_path), NAME, identity).save(num_photos=7)
    assert saved == {"seed": 1, "input": ["a", "b"], "num_photos": 7}
    assert Fingerprint(str(tmp_path), NAME, identity).load() == saved


def test_another_request_is_refused_with_both_values(tmp_path: Path) -> None:
    Fingerprint(str(tmp_path), NAME, {"seed": 1}).save()
    with pytest.raises(RequestError, match=r"another seed \(1, this run has 2\)"):
        Fingerprint(str(tmp_path), NAME, {"seed": 2}).load()
    with pytest.raises(RequestError, match=r"another model \(None, this run has m\)"):
        Fingerprint(str(tmp_path), NAME, {"seed": 1, "model": "m"}).load()


def test_the_record_of_a_former_version_counts(tmp_path: Path) -> None:
    (tmp_path / "_run").mkdir()
    (tmp_path / "_run/stamp.json").write_text(json.dumps({"seed": 1, "num_photos": 3}))
    former = Fingerprint(str(tmp_path), NAME, {"seed": 1}, former_name="_run/stamp.json")
    assert former.load() == {"seed": 1, "num_photos": 3}
    with pytest.raises(RequestError, match="another seed"):
        Fingerprint(str(tmp_path), NAME, {"seed": 0}, former_name="_run/stamp.json").load()
