"""Logs of the Ray nodes after the stack was stopped."""

from pathlib import Path

from infra.stack.layout import create_layout
from infra.stack.stack import _node_folder


def test_logs_of_every_start_of_a_node_are_kept(tmp_path: Path) -> None:
    layout = create_layout(tmp_path / "s", first_port=24300)
    with _node_folder(layout) as temp:
        for number in (1, 2, 3):
            logs = temp / f"ray-head/session_2026-01-0{number}/logs"
            logs.mkdir(parents=True)
            (logs / "gcs_server.out").write_text(str(number))
    logs_folder = layout.folder / "logs/ray"
    texts = {file.parent.name: file.read_text() for file in logs_folder.rglob("gcs_server.out")}
    assert texts == {
        "ray-head": "3",
        "ray-head-session_2026-01-01": "1",
        "ray-head-session_2026-01-02": "2",
    }
    assert not temp.exists()
