import os

import pytest

from rayboot.io.paths import (
    escape_path,
    escape_undecodable,
    has_protocol,
    is_chained,
    unescape_path,
)

NAMES = [
    b"Mu\xf1oz.jpg",  # Latin-1
    b"\x8e\xcc\x90^.jpg",  # Shift JIS
    "Muñoz.jpg".encode(),
    rb"a\xF1.jpg",
    b"\\xF1\xf1\\x5C.jpg",
    rb"C:\photos\x.jpg",
    b"\xff" * 250,
]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_text_of_its_own(name: bytes) -> None:
    text = escape_path(os.fsdecode(name))
    text.encode()  # can be printed and stored
    assert os.fsencode(unescape_path(text)) == name
    assert len({escape_path(os.fsdecode(other)) for other in NAMES}) == len(NAMES)


def test_text_stays_as_it_is() -> None:
    for text in ("Muñoz.jpg", "人.png", r"a\b.jpg", r"\x41.jpg", "a b%20.jpg"):
        assert escape_path(text) == escape_undecodable(text) == unescape_path(text) == text


def test_an_escaped_path_may_be_given_again() -> None:
    given = os.fsdecode(b"/photos/Mu\xf1oz")
    assert escape_undecodable(given) == r"/photos/Mu\xF1oz"
    assert escape_undecodable(r"/photos/Mu\xF1oz") == r"/photos/Mu\xF1oz"


@pytest.mark.parametrize(
    ("uri", "is_chain"),
    [
        ("a::b.jpg", False),
        ("/photos/zip::b.jpg", False),
        ("zip::b.jpg", False),
        ("s3://bucket/a::b.jpg", False),
        ("s3://bucket/a::s3", True),
        ("simplecache::s3://bucket/key", True),
        ("zip://a.jpg::s3://bucket/key.zip", True),
        ("a.jpg", False),
    ],
)
def test_colons_in_a_name_are_no_chain(uri: str, is_chain: bool) -> None:
    assert is_chained(uri) == is_chain


def test_a_path_has_no_protocol() -> None:
    assert has_protocol("s3://bucket") and has_protocol("file:///photos")
    assert not has_protocol("/photos/s3://a") and not has_protocol("a:b.jpg")
