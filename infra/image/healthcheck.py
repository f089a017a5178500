"""Whether this container is well: where a Ray node runs in it, the node must say so.

Containers that run something else (a single command, the MLflow server) have no node, and are
well as long as their process lives.
"""

import os
import sys
import urllib.request

import psutil

_PORT = os.environ.get("RAYBOOT_AGENT_PORT", "52365")
"""Of the node's agent; Ray's default."""


def has_node() -> bool:
    """A raylet runs here."""
    return any(process.info["name"] == "raylet" for process in psutil.process_iter(["name"]))


def node_is_well() -> bool:
    """The node's agent answers, and finds the node among those that the head counts."""
    url = f"http://127.0.0.1:{_PORT}/api/local_raylet_healthz"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return b"success" in answer.read()
    except OSError as error:
        print(f"{url}: {error}")
        return False


if __name__ == "__main__":
    sys.exit(0 if not has_node() or node_is_well() else 1)
