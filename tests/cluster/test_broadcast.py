from pathlib import Path
from typing import Any

from rayboot.cluster.broadcast import BroadcastFile


def test_a_worker_has_the_bytes_of_a_file_that_is_gone(ray_local: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.t7"
    content = bytes(range(256)) * 1000
    path.write_bytes(content)
    carried = BroadcastFile.put(path)
    path.unlink()

    @ray_local.remote(num_cpus=0.1)
    def read(settings: dict[str, BroadcastFile]) -> tuple[str, bytes, bool]:
        with settings["weights"].local_path() as copy:
            found = copy.name, copy.read_bytes()
        return *found, copy.exists()

    assert ray_local.get(read.remote({"weights": carried})) == ("weights.t7", content, False)
