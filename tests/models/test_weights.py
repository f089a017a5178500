import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from rayboot.errors import RequestError, WeightsError
from rayboot.io.torch7 import write_torch7
from rayboot.models import VRN, VRNConfig, import_weights, load_vrn, read_config, save_network
from tests.legacy_torch7 import legacy_torch7
from tests.models.torch7_trees import build_tree, released_listing

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def expanded_state() -> State:
    """A state dict of the released shapes that takes a few bytes: each entry repeats one value."""
    with torch.device("meta"):
        entries = VRN().state_dict()
    return {
        key: torch.full((), 0.5).to(value.dtype).expand(value.shape)
        for key, value in entries.items()
    }


def require_equal(network: VRN, expected: State) -> None:
    actual = network.state_dict()
    assert list(actual) == list(expected)
    for key, value in expected.items():
        assert torch.equal(actual[key], value), key


def test_saved_weights_are_loaded_bit_for_bit(tiny: VRN, tmp_path: Path) -> None:
    save_network(tiny, tmp_path / "tiny.safetensors")
    loaded = load_vrn(tmp_path / "tiny.safetensors")
    assert loaded.config == tiny.config
    assert read_config(tmp_path / "tiny.safetensors") == tiny.config
    assert not loaded.training
    assert all(value.requires_grad for value in loaded.parameters())
    require_equal(loaded, tiny.state_dict())
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images), tiny(images))


def test_weights_are_written_atomically_and_readable_by_all(tiny: VRN, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(b"an older file")
    network = tiny.to(memory_format=torch.channels_last)
    save_network(network, path)
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.safetensors"]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    # A loaded network does not depend on its file any more.
    loaded = load_vrn(path)
    path.write_bytes(b"")
    require_equal(loaded, tiny.state_dict())


def test_a_failed_write_leaves_no_file(tiny: VRN, tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for name in ("absent/w.safetensors", "folder.safetensors", "file/w.safetensors"):
        with pytest.raises(RequestError, match="cannot be written"):
            save_network(tiny, tmp_path / name)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.safetensors"]


def test_the_released_torch7_file_is_imported(
    synthetic_weights: State, shared_dir: Path, tmp_path: Path
) -> None:
    tree = build_tree(released_listing(shared_dir), synthetic_weights)
    source, destination = tmp_path / "vrn-unguided.t7", tmp_path / "vrn.safetensors"
    source.write_bytes(write_torch7(tree))
    # test_vrn checks that these weights give the reference values.
    require_equal(load_vrn(source), synthetic_weights)
    assert import_weights(source, destination) == VRNConfig()
    require_equal(load_vrn(destination), synthetic_weights)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {f"module.{key}": value for key, value in state.items()},
    ],
    ids=["plain", "checkpoint", "data-parallel"],
)
def test_plain_nested_and_parallel_state_dicts_are_loaded(
    expanded_state: State, tmp_path: Path, wrap: Callable
) -> None:
    torch.save(wrap(expanded_state), tmp_path / "vrn_unguided.pth")
    require_equal(load_vrn(tmp_path / "vrn_unguided.pth"), expanded_state)


class FolderOnUnpickling:
    """An object that creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_a_pickle_is_never_executed(expanded_state: State, tmp_path: Path, suffix: str) -> None:
    path, folder = tmp_path / f"vrn{suffix}", tmp_path / "executed"
    torch.save({**expanded_state, "0.bias": FolderOnUnpickling(folder)}, path)
    with pytest.raises(WeightsError, match="not executed"):
        load_vrn(path)
    path.write_bytes(pickle.dumps(FolderOnUnpickling(folder), protocol=2))
    with pytest.raises(WeightsError):
        load_vrn(path)
    assert not folder.exists()
    # The pickle would create the folder if it were executed.
    pickle.loads(path.read_bytes())
    assert folder.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("3.0.0.2.weight"), r"got 1916: 1 missing \(3.0.0.2.weight\)"),
        (lambda state: state.update(extra=torch.zeros(1)), r"1 unexpected \(extra\)"),
        (
            lambda state: state.update({"0.weight": torch.zeros(64, 3, 3, 3)}),
            r"1 of the wrong shape \(0.weight is \(64, 3, 3, 3\) and must be \(64, 3, 7, 7\)\)",
        ),
        (lambda state: state.update({"0.bias": [1, 2]}), r"0.bias is list and must be \(64,\)"),
        (lambda state: state.clear(), r"1917 missing \(0.weight, .*, \.\.\.\)"),
    ],
)
def test_misfitting_entries_are_named(
    expanded_state: State, tmp_path: Path, change: Callable, message: str
) -> None:
    state = dict(expanded_state)
    change(state)
    torch.save(state, tmp_path / "vrn.pth")
    with pytest.raises(WeightsError, match=message) as caught:
        load_vrn(tmp_path / "vrn.pth")
    assert "vrn.pth" in str(caught.value)


def test_other_sizes_without_a_config_are_refused(tiny: VRN, tmp_path: Path) -> None:
    state = {key: value.contiguous() for key, value in tiny.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "tiny.safetensors")
    with pytest.raises(WeightsError, match=r"0\.weight is"):
        load_vrn(tmp_path / "tiny.safetensors")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt", "w.t7"])
def test_damaged_files_are_refused(tiny: VRN, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    intact = tmp_path / "intact.safetensors"
    save_network(tiny, intact)
    for content in (b"", b"not weights at all", b"PK\x03\x04 cut", intact.read_bytes()[:5000]):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=name):
            load_vrn(path)


def test_a_file_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="expected a state dict, got list"):
        load_vrn(tmp_path / "list.pth")


def test_a_foreign_config_in_the_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    for config in ('{"slices": 3}', "no JSON"):
        safetensors.torch.save_file({"a": torch.zeros(1)}, path, metadata={"vrn_config": config})
        with pytest.raises(WeightsError, match="vrn_config"):
            load_vrn(path)


def test_torch7_files_without_a_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.t7"
    for data in (write_torch7({"a": 1}), legacy_torch7({"a": 1})):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"landmarks\.t7: expected a network"):
            load_vrn(path)


def test_wrong_requests_are_distinguished_from_wrong_weights(tiny: VRN, tmp_path: Path) -> None:
    source = tmp_path / "tiny.safetensors"
    save_network(tiny, source)
    for read in (load_vrn, read_config):
        with pytest.raises(RequestError, match="no such weights file"):
            read(tmp_path / "absent.pth")
        with pytest.raises(RequestError, match=r"ending in \.safetensors, \.pth"):
            read(tmp_path / "weights.onnx")
    with pytest.raises(RequestError, match="no such weights file"):
        import_weights(tmp_path / "absent.t7", tmp_path / "w.safetensors")
    with pytest.raises(RequestError, match=r"ending in \.safetensors"):
        import_weights(source, tmp_path / "w.pth")
    with pytest.raises(RequestError, match="a folder that exists"):
        import_weights(source, tmp_path / "absent" / "w.safetensors")
    assert import_weights(source, tmp_path / "copy.safetensors") == tiny.config
