import pytest

from rayboot.counts import describe_count


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "photo", "0 photos"),
        (1, "photo", "1 photo"),
        (2, "face", "2 faces"),
        (1, "mesh", "1 mesh"),
        (30, "mesh", "30 meshes"),
    ],
)
def test_a_noun_agrees_with_its_count(count: int, noun: str, text: str) -> None:
    assert describe_count(count, noun) == text


def test_words_agree_too() -> None:
    assert describe_count(1, "photo", "was added", "were added") == "1 photo was added"
    assert describe_count(3, "photo", "was added", "were added") == "3 photos were added"
