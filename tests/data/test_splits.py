import pytest

from rayboot.data.splits import assign_split

GROUPS = [f"300VW-3D/CatA/{number:03d}" for number in range(4000)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_share_is_kept(seed, share):
    held_out = sum(assign_split(group, seed, share) == "val" for group in GROUPS)
    assert held_out / len(GROUPS) == pytest.approx(share, abs=0.025)


def test_a_group_keeps_its_side_whatever_else_there_is():
    sides = {group: assign_split(group, 0, 0.2) for group in GROUPS}
    assert {group: assign_split(group, 0, 0.2) for group in reversed(GROUPS[::7])} == {
        group: sides[group] for group in GROUPS[::7]
    }


def test_the_sides_are_the_same_for_ever():
    # Written down: another version that moved them would mix old training with validation.
    assert (
        "".join(assign_split(group, 0, 0.2)[0] for group in GROUPS[:40])
        == "vtttttttttttttvvtttttttttttttvtttttttttt"
    )


def test_a_larger_share_only_adds_groups():
    small = {group for group in GROUPS if assign_split(group, 3, 0.1) == "val"}
    large = {group for group in GROUPS if assign_split(group, 3, 0.3) == "val"}
    assert small < large


def test_another_seed_is_another_split():
    first, second = ([assign_split(group, seed, 0.5) for group in GROUPS] for seed in (0, 1))
    same = sum(a == b for a, b in zip(first, second, strict=True))
    assert same / len(GROUPS) == pytest.approx(0.5, abs=0.05)


def test_nothing_or_everything_can_be_held_out():
    assert {assign_split(group, 0, 0.0) for group in GROUPS} == {"train"}
    assert {assign_split(group, 0, 1.0) for group in GROUPS} == {"val"}
