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
    member_listing,
    module_at,
    released_listing,
)


@pytest.fixture
def tree(tiny: VRN) -> TorchObject:
    return read_torch7(write_torch7(build_tree(member_listing(tiny.config), tiny.state_dict())))


def test_the_description_gives_the_released_tree(shared_dir: Path) -> None:
    assert member_listing(VRNConfig()) == released_listing(shared_dir)


@pytest.mark.parametrize("write", [write_torch7, legacy_torch7])
def test_a_members_weights_are_found(tiny: VRN, write: Callable[..., bytes]) -> None:
    # legacy_torch7 makes longs of 4 bytes.
    root = read_torch7(write(build_tree(member_listing(tiny.config), tiny.state_dict())))
    found = state_dict_from_torch7(root, tiny)
    assert list(found) == list(tiny.state_dict())
    for key, value in tiny.state_dict().items():
        assert torch.equal(found[key], value), key
        assert found[key].dtype == value.dtype


def test_doubles_become_floats(tiny: VRN, tree: TorchObject) -> None:
    conv = module_at(tree, "1").fields
    conv["weight"] = conv["weight"].astype(np.float64)
    found = state_dict_from_torch7(tree, tiny)
    assert torch.equal(found["0.weight"], tiny.state_dict()["0.weight"])


def replaced(listing: Listing, number: int, *modules: tuple[int, str]) -> Listing:
    return [*listing[:number], *modules, *listing[number + 1 :]]


@pytest.mark.parametrize(
    ("number", "modules", "message"),
    [
        # The first convolution of the first block, left out.
        (8, [], r"SpatialConvolution as module 8, 3 deep, for 3\.0\.0\.2\.weight, got nn\.S.*Norm"),
        # Its ReLU, left out.
        (7, [], r"nn\.ReLU as module 7, 3 deep, before 3\.0\.0\.2\.weight, got nn\.SpatialConv"),
        # The second ReLU of the file, twice.
        (7, [(3, "nn.ReLU"), (3, "nn.ReLU")], r"got nn\.ReLU at 4\.1\.1\.3"),
        # The sum of the first block one level out.
        (17, [(0, "nn.CAddTable")], r"1 deep, .*got nn\.CAddTable at 5, 0 deep"),
        (18, [(0, "nn.SpatialAveragePooling")], "got nn.SpatialAveragePooling at 5"),
        # The last modules, left out and twice.
        (-1, [], "nn.Sigmoid as module .*, got the end of the tree; 1 are missing"),
        (-1, [(2, "nn.Sigmoid"), (2, "nn.Sigmoid")], "got another one, nn.Sigmoid at 12.1.5"),
    ],
)
def test_another_tree_is_refused_with_key_and_position(
    tiny: VRN, number: int, modules: Listing, message: str
) -> None:
    listing = member_listing(tiny.config)
    number %= len(listing)
    weights = tiny.state_dict()
    if not modules and listing[number][1] == "nn.SpatialConvolution":
        weights = {key: value for key, value in weights.items() if "3.0.0.2." not in key}
    root = build_tree(replaced(listing, number, *modules), weights)
    with pytest.raises(WeightsError, match=message):
        state_dict_from_torch7(root, tiny)


def test_a_textbook_hourglass_is_refused(tiny: VRN) -> None:
    # The nested level in the pooled branch: the same modules of the same shapes.
    listing = member_listing(tiny.config)
    first = next(i for i, module in enumerate(listing) if module == (4, "nn.Sequential"))
    nested = next(i for i in range(first + 1, len(listing)) if listing[i] == (4, "nn.Sequential"))
    lower = next(i for i in range(nested, len(listing)) if listing[i] == (3, "nn.Sequential"))
    up = next(i for i in range(lower, len(listing)) if listing[i][1].endswith("Nearest"))
    moved = [*listing[:nested], *listing[lower:up], *listing[nested:lower], *listing[up:]]
    assert sorted(moved) == sorted(listing)
    with pytest.raises(WeightsError, match=rf"module {nested}, .* before 7(\.[01])+\.weight, got"):
        state_dict_from_torch7(build_tree(moved, tiny.state_dict()), tiny)


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
def test_a_wrong_entry_is_refused_with_key_and_position(
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
        ("none", "modules is no array"),
        ({2: TorchObject("nn.ReLU", {})}, "modules is no array"),
        ({1: 5.0}, "expected a module at 4.1, got float"),
    ],
)
def test_a_damaged_container_is_refused(
    tiny: VRN, tree: TorchObject, modules: object, message: str
) -> None:
    module_at(tree, "4").fields["modules"] = modules
    with pytest.raises(WeightsError, match=message):
        state_dict_from_torch7(tree, tiny)


def test_a_tree_that_holds_itself_ends(tiny: VRN, tree: TorchObject) -> None:
    module_at(tree, "4").fields["modules"] = {1: tree, 2: tree}
    with pytest.raises(WeightsError, match="expected nn.ConcatTable as module 4"):
        state_dict_from_torch7(tree, tiny)


@pytest.mark.parametrize("root", [{"modules": {}}, np.zeros(3), TorchObject("nn.Linear", {}), None])
def test_another_value_is_no_network(tiny: VRN, root: object) -> None:
    with pytest.raises(WeightsError, match="expected a network"):
        state_dict_from_torch7(root, tiny)
