"""Folders, secrets and ports of a stack."""

import socket
import stat
from pathlib import Path

import pytest

from infra.stack.errors import StackError
from infra.stack.layout import choose_ports, make_place
from infra.stack.stack import StackSettings, running_stack


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_for_the_user_alone_and_new_each_time(tmp_path: Path) -> None:
    (tmp_path / "stack/secrets").mkdir(parents=True, mode=0o755)
    place = make_place(tmp_path / "stack", first_port=24500)
    first = place.new_secret("key")
    assert mode(place.secrets) == 0o700
    assert mode(place.secrets / "key") == 0o600
    assert (place.secrets / "key").read_text() == first
    assert place.new_secret("key") != first
    assert len(first) == 64


def test_ports_differ_and_spare_those_of_ray_workers() -> None:
    for first in (None, 24600):
        ports = choose_ports(first)
        assert len(set(ports.values())) == len(ports)
        assert not [port for port in ports.values() if 10002 <= port < 20000]
        assert all(port < 32768 for port in ports.values())


def test_a_port_in_use_is_passed_over() -> None:
    first = min(choose_ports(24700).values())
    with socket.socket() as held:
        held.bind(("127.0.0.1", first))
        held.listen()
        assert first not in choose_ports(24700).values()


def test_ports_that_are_all_taken_are_said_to_be() -> None:
    with pytest.raises(StackError, match="no port is free below 32000"):
        choose_ports(31990)


def test_a_second_stack_is_refused_and_leaves_the_first_its_keys(tmp_path: Path) -> None:
    import fcntl

    place = make_place(tmp_path, first_port=24800)
    key = place.new_secret("ray-token")
    with open(place.folder / "lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("1234\n")
        lock.flush()
        settings = StackSettings(tmp_path, first_port=24800)
        with pytest.raises(StackError, match=r"already, process 1234; use it, end it"):
            with running_stack(settings, print):
                pytest.fail("it started")
    assert (place.secrets / "ray-token").read_text() == key


def test_a_program_that_is_missing_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told: list[str] = []
    with pytest.raises(StackError, match="no program `prometheus`; sudo apt-get"):
        with running_stack(StackSettings(tmp_path / "stack", first_port=24900), told.append):
            pytest.fail("it started")
    assert told == []
    assert not (tmp_path / "stack/postgres").exists()
