import subprocess
import sys
from typing import Any

RUN = """
import sys
from rayboot.cluster.session import connect

with connect(sys.argv[1]):
    import ray

    @ray.remote(num_cpus=0, max_restarts=4)
    class Stage:
        def __init__(self, argument):
            self.argument = argument

        def value(self):
            return self.argument

    for value in range(2):
        print(ray.get(Stage.remote(ray.put(value)).value.remote()))
    print("still there", file=sys.stderr)
"""


def test_an_actor_with_arguments_in_the_object_store_prints_no_notice(ray_local: Any) -> None:
    address = ray_local.get_runtime_context().gcs_address
    done = subprocess.run(
        [sys.executable, "-c", RUN, address], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.split() == ["0", "1"], done.stderr
    assert "restart will fail" not in done.stderr and "still there" in done.stderr
