from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.errors import WeightsError
from rayboot.io.torch7 import TorchObject, read_torch7, write_torch7
from rayboot.models import VRN, VRNConfig
from rayboot.models.torch7_modules import state_dict_from_torch7
from tests.legacy_torch7 import legacy_torch7
from tests.models.torch7_trees import (
    Listing,
    build_tree,
    module_at,
    network_listing,
    released_listing,
)


@pytest.fixture
def tree(tiny: VRN) -> TorchObject:
    return read_torch7(write_torch7(build_tree(network_listing(tiny.config), tiny.state_dict())))


def test_the_description_gives_the_released_tree(shared_dir: Path) -> None:
    assert network_listing(VRNConfig()) == released_listing(shared_dir)


@pytest.mark.parametrize("write", [write_torch7, legacy_torch7])
def test_weights_are_read_from_both_torch7_formats(tiny: VRN, write: Callable[..., bytes]) -> None:
    # legacy_torch7 writes longs of 4 bytes.
    root = read_torch7(write(build_tree(network_listing(tiny.config), tiny.state_dict())))
    state = state_dict_from_torch7(root, tiny)
    assert list(state) == list(tiny.state_dict())
    for key, value in tiny.state_dict().items():
        assert torch.equal(state[key], value), key
        assert state[key].dtype == value.dtype


def test_doubles_are_converted_to_floats(tiny: VRN, tree: TorchObject) -> None:
    conv = module_at(tree, "1").fields
    conv["weight"] = conv["weight"].astype(np.float64)
    state = state_dict_from_torch7(tree, tiny)
    assert torch.equal(state["0.weight"], tiny.state_dict()["0.weight"])


def replaced(listing: Listing, number: int, *modules: tuple[int, str]) -> Listing:
    return [*listing[:number], *modules, *listing[number + 1 :]]


@pytest.mark.parametrize(
    ("number", "modules", "message"),
    [
        # The first convolution of the first block is missing.
        (8, [], r"SpatialConvolution as module 8, 3 deep, for 3\.0\.0\.2\.weight, got nn\.S.*Norm"),
        # Its ReLU is missing.
        (7, [], r"nn\.ReLU as module 7, 3 deep, before 3\.0\.0\.2\.weight, got nn\.SpatialConv"),
        # The second ReLU of the file is repeated.
        (7, [(3, "nn.ReLU"), (3, "nn.ReLU")], r"got nn\.ReLU at 4\.1\.1\.3"),
        # The addition of the first block is one level too high.
        (17, [(0, "nn.CAddTable")], r"1 deep, .*got nn\.CAddTable at 5, 0 deep"),
        (18, [(0, "nn.SpatialAveragePooling")], "got nn.SpatialAveragePooling at 5"),
        # The last module is missing, or repeated.
        (-1, [], "nn.Sigmoid as module .*, got the end of the tree; 1 are missing"),
        (-1, [(2, "nn.Sigmoid"), (2, "nn.Sigmoid")], "got another one, nn.Sigmoid at 12.1.5"),
    ],
)
def test_different_trees_are_refused_with_key_and_position(
    tiny: VRN, number: int, modules: Listing, message: str
) -> None:
    listing = network_listing(tiny.config)
    number %= len(listing)
    weights = tiny.state_dict()
    if not modules and listing[number][1] == "nn.SpatialConvolution":
        weights = {key: value for key, value in weights.items() if "3.0.0.2." not in key}
    root = build_tree(replaced(listing, number, *modules), weights)
    with pytest.raises(WeightsError, match=message):
        state_dict_from_torch7(root, tiny)


def test_a_textbook_hourglass_is_refused(tiny: VRN) -> None:
    # With the nested level in the pooled branch, modules and shapes are the same.
    listing = network_listing(tiny.config)
    first = next(i for i, module in enumerate(listing) if module == (4, "nn.Sequential"))
    nested = next(i for i in range(first + 1, len(listing)) if listing[i] == (4, "nn.Sequential"))
    lower = next(i for i in range(nested, len(listing)) if listing[i] == (3, "nn.Sequential"))
    up = next(i for i in range(lower, len(listing)) if listing[i][1].endswith("Nearest"))
    textbook = [*listing[:nested], *listing[lower:up], *listing[nested:lower], *listing[up:]]
    assert sorted(textbook) == sorted(listing)
    with pytest.raises(WeightsError, match=rf"module {nested}, .* before 7(\.[01])+\.weight, got"):
        state_dict_from_torch7(build_tree(textbook, tiny.state_dict()), tiny)


@pytest.mark.parametrize(
    ("position", "entry", "value", "message"),
    [
        ("1", "weight", None, r"0\.weight must be floats \(8, 3, 7, 7\), but module 0 .* nothing"),
        (
            "1",
            "bias",
            np.zeros(7, np.float32),
            r"0\.bias must be \(8,\), .* at 1\) has as bias \(7",
        ),
        ("2", "running_var", None, r"1\.running_var must be floats \(8,\), but module 1"),
        ("2", "weight", np.zeros(8, np.int32), r"1\.weight must be floats .* int32"),
        ("4.1.1.3", "weight", "none", r"3\.0\.0\.2\.weight .* module 8 .* at 4\.1\.1\.3\) .* str"),
    ],
)
def test_wrong_entries_are_refused_with_key_and_position(
    tiny: VRN, tree: TorchObject, position: str, entry: str, value: object, message: str
) -> None:
    fields = module_at(tree, position).fields
    del fields[entry]
    if value is not None:
        fields[entry] = value
    with pytest.raises(WeightsError, match=message):
        state_dict_from_torch7(tree, tiny)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ("none", "expected its modules as an array"),
        ({2: TorchObject("nn.ReLU", {})}, "expected its modules as an array"),
        ({1: 5.0}, r"expected a module at 4\.1, got float"),
    ],
)
def test_a_damaged_container_is_refused(
    tiny: VRN, tree: TorchObject, modules: object, message: str
) -> None:
    module_at(tree, "4").fields["modules"] = modules
    with pytest.raises(WeightsError, match=message):
        state_dict_from_torch7(tree, tiny)


def test_a_tree_that_contains_itself_is_refused(tiny: VRN, tree: TorchObject) -> None:
    module_at(tree, "4").fields["modules"] = {1: tree, 2: tree}
    with pytest.raises(WeightsError, match=r"expected nn\.ConcatTable as module 4"):
        state_dict_from_torch7(tree, tiny)


@pytest.mark.parametrize("root", [{"modules": {}}, np.zeros(3), TorchObject("nn.Linear", {}), None])
def test_other_values_are_refused(tiny: VRN, root: object) -> None:
    with pytest.raises(WeightsError, match="expected a network"):
        state_dict_from_torch7(root, tiny)
