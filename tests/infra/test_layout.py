"""Folders, secrets and ports of a stack."""

import socket
import stat
from pathlib import Path

import pytest

from infra.stack.errors import StackError
from infra.stack.layout import choose_ports, create_layout
from infra.stack.stack import StackSettings, running_stack


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_user_can_read_secrets_which_are_new_each_time(tmp_path: Path) -> None:
    (tmp_path / "stack/secrets").mkdir(parents=True, mode=0o755)
    layout = create_layout(tmp_path / "stack", first_port=24500)
    first = layout.new_secret("key")
    assert mode(layout.secrets) == 0o700
    assert mode(layout.secrets / "key") == 0o600
    assert (layout.secrets / "key").read_text() == first
    assert layout.new_secret("key") != first
    assert len(first) == 64


def test_ports_are_distinct_and_not_those_of_ray_workers() -> None:
    for first in (None, 24600):
        ports = choose_ports(first)
        assert len(set(ports.values())) == len(ports)
        assert not [port for port in ports.values() if 10002 <= port < 20000]
        assert all(port < 32768 for port in ports.values())


def test_a_port_in_use_is_skipped() -> None:
    first = min(choose_ports(24700).values())
    with socket.socket() as held:
        held.bind(("127.0.0.1", first))
        held.listen()
        assert first not in choose_ports(24700).values()


def test_too_few_free_ports_are_an_error() -> None:
    with pytest.raises(StackError, match="no port is free below 32000"):
        choose_ports(31990)


def test_a_second_stack_is_refused_and_does_not_change_the_keys(tmp_path: Path) -> None:
    import fcntl

    layout = create_layout(tmp_path, first_port=24800)
    key = layout.new_secret("ray-token")
    with (layout.folder / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("1234\n")
        lock.flush()
        settings = StackSettings(tmp_path, first_port=24800)
        refused = pytest.raises(StackError, match=r"already, process 1234; use it, stop it")
        with refused, running_stack(settings, print):
            pytest.fail("it started")
    assert (layout.secrets / "ray-token").read_text() == key


def test_a_missing_program_is_reported_before_any_service_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reports: list[str] = []
    settings = StackSettings(tmp_path / "stack", first_port=24900)
    refused = pytest.raises(StackError, match="no program `prometheus`; sudo apt-get")
    with refused, running_stack(settings, reports.append):
        pytest.fail("it started")
    assert reports == []
    assert not (tmp_path / "stack/postgres").exists()
