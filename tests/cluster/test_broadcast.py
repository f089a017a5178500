from pathlib import Path
from typing import Any

from rayboot.cluster.broadcast import BroadcastFile


def test_a_worker_reads_the_file_after_it_was_removed(ray_local: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.t7"
    content = bytes(range(256)) * 1000
    path.write_bytes(content)
    broadcast = BroadcastFile.put(path)
    path.unlink()

    @ray_local.remote(num_cpus=0.1)
    def read(settings: dict[str, BroadcastFile]) -> tuple[str, bytes, bool]:
        with settings["weights"].local_path() as copy:
            name, content = copy.name, copy.read_bytes()
        return name, content, copy.exists()

    assert ray_local.get(read.remote({"weights": broadcast})) == ("weights.t7", content, False)
