import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayboot.data.splits import assign_split

GROUPS = [f"300VW-3D/CatA/{number:03d}" for number in range(4000)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_the_validation_split_has_the_requested_fraction(seed, fraction):
    num_val = sum(assign_split(group, seed, fraction) == "val" for group in GROUPS)
    assert num_val / len(GROUPS) == pytest.approx(fraction, abs=0.025)


def test_the_split_of_a_group_does_not_depend_on_other_groups():
    splits = {group: assign_split(group, 0, 0.2) for group in GROUPS}
    assert {group: assign_split(group, 0, 0.2) for group in reversed(GROUPS[::7])} == {
        group: splits[group] for group in GROUPS[::7]
    }


def test_splits_never_change_between_versions():
    # A version that changed them would validate on groups that older models were trained on.
    assert (
        "".join(assign_split(group, 0, 0.2)[0] for group in GROUPS[:40])
        == "vtttttttttttttvvtttttttttttttvtttttttttt"
    )


@given(st.text(), st.integers(0), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_fraction_only_adds_groups(group, seed, one, other):
    smaller, larger = (assign_split(group, seed, f) for f in sorted((one, other)))
    assert (smaller, larger) != ("val", "train")


def test_another_seed_is_another_split():
    first, second = ([assign_split(group, seed, 0.5) for group in GROUPS] for seed in (0, 1))
    same = sum(a == b for a, b in zip(first, second, strict=True))
    assert same / len(GROUPS) == pytest.approx(0.5, abs=0.05)


def test_the_validation_split_may_be_empty_or_everything():
    assert {assign_split(group, 0, 0.0) for group in GROUPS} == {"train"}
    assert {assign_split(group, 0, 1.0) for group in GROUPS} == {"val"}
