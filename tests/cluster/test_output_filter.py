import os

import pytest

from rayboot.cluster.output_filter import without_lines


def test_other_lines_are_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with without_lines(b"will fail"):
        os.write(2, b"before\n[E] the actor restart will fail. See ...\nafter\n")
        print("it will fail")
    assert capfd.readouterr() == ("it will fail\n", "before\nafter\n")


def test_both_streams_are_filtered_where_both_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    with without_lines(b"noise", (1, 2)):
        os.write(1, b"noise\nresult\n")
        os.write(2, b"noise\nreason\n")
    assert capfd.readouterr() == ("result\n", "reason\n")


def test_lines_of_a_block_that_raises_are_printed(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with without_lines(b"noise"):
            os.write(2, b"noise\nreason\n")
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert capfd.readouterr().err == "reason\n"
