"""Health check of the container: a Ray node that runs in it must be healthy.

Containers that run another program (a single command, the MLflow server) have no node, and are
healthy as long as the program runs.
"""

import os
import sys
import urllib.request

import psutil

_PORT = os.environ.get("RAYBOOT_AGENT_PORT", "52365")
"""Port of the node's agent; by default that of Ray."""


def has_node() -> bool:
    """Whether a raylet runs in this container."""
    return any(process.info["name"] == "raylet" for process in psutil.process_iter(["name"]))


def node_is_healthy() -> bool:
    """Whether the agent of the node responds and reports that the head counts the node."""
    url = f"http://127.0.0.1:{_PORT}/api/local_raylet_healthz"
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return b"success" in response.read()
    except OSError as error:
        print(f"{url}: {error}")
        return False


if __name__ == "__main__":
    sys.exit(0 if not has_node() or node_is_healthy() else 1)
