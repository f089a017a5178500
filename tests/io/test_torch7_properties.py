"""Properties of Torch7 files that hold for arbitrary values and bytes."""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rayboot.io.torch7 import Torch7Error, TorchObject, read_torch7, write_torch7

# How long an example takes depends on how busy the machine is.
untimed = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

DTYPES = ["u1", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8"]

# Lua strings are bytes, which need not be UTF-8.
strings = st.binary(max_size=20).map(lambda text: text.decode("utf-8", "surrogateescape"))
numbers = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)
shapes = st.just((0,)) | hnp.array_shapes(min_dims=1, max_dims=4, max_side=4)
arrays = hnp.arrays(st.sampled_from(DTYPES), shapes)
keys = strings | numbers | st.booleans()
class_names = st.from_regex(r"nn\.[A-Za-z]{1,12}", fullmatch=True)


def containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Tables, arrays of Lua and modules that contain ``values``."""
    tables = st.dictionaries(keys, values, max_size=4)
    return tables | st.lists(values, max_size=4) | st.builds(TorchObject, class_names, tables)


values = st.recursive(
    st.none() | st.booleans() | numbers | strings | arrays, containers, max_leaves=12
)


def assert_same(read: Any, written: Any) -> None:
    """Checks that ``read`` is ``written`` with the types that Torch7 files have in Python."""
    if isinstance(written, list):
        written = dict(enumerate(written, start=1))
    if isinstance(written, np.ndarray):
        assert (read.dtype, read.shape) == (written.dtype, written.shape)
        # Bytes, because NaN and signed zeros must be preserved as well.
        assert read.tobytes() == written.tobytes()
    elif isinstance(written, TorchObject):
        assert read.class_name == written.class_name
        assert_same(read.fields, written.fields)
    elif isinstance(written, dict):
        assert isinstance(read, dict) and read.keys() == written.keys()
        for key, value in written.items():
            assert_same(read[key], value)
    elif isinstance(written, bool) or written is None:
        assert read is written
    elif isinstance(written, int | float):
        assert type(read) is float and read == written
    else:
        assert type(read) is str and read == written


@untimed
@given(values)
def test_a_value_is_read_as_it_was_written(value: Any) -> None:
    assert_same(read_torch7(write_torch7(value)), value)


@untimed
@given(arrays)
def test_strides_do_not_matter(array: np.ndarray) -> None:
    for view in (array.T, array[::-1], array[..., ::2]):
        assert_same(read_torch7(write_torch7(view)), np.ascontiguousarray(view))


@untimed
@given(values)
def test_a_shared_object_is_read_as_one_object(value: Any) -> None:
    shared = {"value": value}
    read = read_torch7(write_torch7([shared, shared]))
    assert read[1] is read[2]
    assert_same(read[1], shared)


@untimed
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_no_other_error(data: bytes) -> None:
    try:
        read_torch7(data)
    except Torch7Error as error:
        message = str(error)
    else:
        return
    assert "expected" in message and "at byte" in message


@untimed
@given(values, st.data())
def test_a_changed_byte_raises_no_other_error(value: Any, data: st.DataObject) -> None:
    content = bytearray(write_torch7(value))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_torch7(bytes(content))
    except Torch7Error as error:
        message = str(error)
    else:
        return
    assert "expected" in message and "at byte" in message
