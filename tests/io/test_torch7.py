import struct
from collections.abc import Sequence

import numpy as np
import pytest

from rayboot.errors import RaybootError
from rayboot.io.torch7 import Torch7Error, TorchObject, read_torch7, write_torch7
from tests.legacy_torch7 import legacy_torch7

DTYPES = ["u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]


def string(text: str) -> bytes:
    return struct.pack("<i", len(text)) + text.encode()


def tensor_head(
    sizes: Sequence[int], strides: Sequence[int], offset: int = 1, kind: str = "Double"
) -> bytes:
    """Bytes of a tensor without its storage, as Torch7 writes them on 64-bit Linux."""
    head = struct.pack("<ii", 4, 1) + string("V 1") + string(f"torch.{kind}Tensor")
    count = len(sizes)
    return head + struct.pack(f"<i{2 * count + 1}q", count, *sizes, *strides, offset)


def storage(values: Sequence[float], index: int = 2) -> bytes:
    head = struct.pack("<ii", 4, index) + string("V 1") + string("torch.DoubleStorage")
    return head + struct.pack(f"<q{len(values)}d", len(values), *values)


@pytest.mark.parametrize("code", DTYPES)
def test_tensors_of_every_type_are_read_as_written(code: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(code)
    again = read_torch7(write_torch7(array))
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


def test_layout_and_byte_order_do_not_matter() -> None:
    array = np.arange(12.0).reshape(3, 4)
    for variant in (array.T, array[::-1, ::2], array[:, :1][::-1][:1], array.astype(">f8")):
        np.testing.assert_array_equal(read_torch7(write_torch7(variant)), variant)


def test_the_written_bytes_are_those_of_torch7() -> None:
    expected = tensor_head((2, 2), (2, 1)) + storage([1, 2, 3, 4])
    assert write_torch7(np.array([[1.0, 2], [3, 4]])) == expected


@pytest.mark.parametrize("value", [None, True, False, 0.0, -1.5, 7, "", "größe", "\udcff raw", {}])
def test_plain_values_are_read_as_written(value: object) -> None:
    again = read_torch7(write_torch7(value))
    assert again == value
    assert isinstance(again, bool) == isinstance(value, bool)


def test_tables_and_modules_nest() -> None:
    weight = np.ones((2, 1, 3, 3), np.float32)
    leaf = TorchObject("nn.SpatialConvolution", {"weight": weight, "nInputPlane": 1})
    root = TorchObject("nn.Sequential", {"modules": [leaf, leaf], "train": False})
    again = read_torch7(write_torch7({"model": root, 2: "two", 0.5: "half"}))
    assert (again[2], again[0.5]) == ("two", "half")
    model = again["model"]
    assert (model.class_name, model.fields["train"]) == ("nn.Sequential", False)
    assert list(model.fields["modules"]) == [1, 2]
    first, second = model.fields["modules"].values()
    assert first is second
    np.testing.assert_array_equal(first.fields["weight"], weight)


def test_a_value_may_contain_itself() -> None:
    table: dict = {"name": "ring"}
    table["self"] = table
    module = TorchObject("nn.Module", {})
    module.fields["parent"] = module
    again = read_torch7(write_torch7(table))
    assert again["self"]["self"] is again
    again = read_torch7(write_torch7(module))
    assert again.fields["parent"] is again


def test_tensors_over_one_storage_share_memory() -> None:
    # {whole, its second column}: offset and strides into storage number 2.
    whole = tensor_head((2, 2), (2, 1)) + storage([1, 2, 3, 4])
    column = tensor_head((2,), (2,), offset=2).replace(
        struct.pack("<ii", 4, 1), struct.pack("<ii", 4, 3), 1
    ) + struct.pack("<ii", 4, 2)
    entries = struct.pack("<id", 1, 1) + whole + struct.pack("<id", 1, 2) + column
    table = read_torch7(struct.pack("<iii", 3, 9, 2) + entries)
    np.testing.assert_array_equal(table[2], [2, 4])
    assert np.shares_memory(table[1], table[2])


def test_a_storage_alone_and_an_empty_tensor_are_arrays() -> None:
    np.testing.assert_array_equal(read_torch7(storage([5, 6])), [5, 6])
    assert read_torch7(tensor_head((), ()) + struct.pack("<i", 0)).shape == (0,)
    assert read_torch7(tensor_head((2**40, 0), (0, 1)) + storage([])).shape == (0,)
    assert read_torch7(write_torch7(np.empty(0, np.float32))).dtype == np.float32


def test_elements_are_not_copied() -> None:
    data = write_torch7(np.arange(1000.0))
    array = read_torch7(data)
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    assert not array.flags.writeable


def test_short_longs_and_classes_without_versions_are_read() -> None:
    tree = {
        "points": np.arange(6.0).reshape(3, 2),
        "counts": np.array([1, -2, 2**31 - 1]),
        "module": TorchObject("nn.Linear", {"weight": np.ones((2, 3), np.float32)}),
        1: "one",
    }
    again = read_torch7(legacy_torch7(tree))
    np.testing.assert_array_equal(again["points"], tree["points"])
    np.testing.assert_array_equal(again["counts"], tree["counts"])
    assert again["counts"].dtype == np.int64
    assert again["module"].class_name == "nn.Linear"
    assert again["module"].fields["weight"].shape == (2, 3)
    assert again[1] == "one"


SMALL = {
    "points": np.arange(4.0).reshape(2, 2),
    "none": np.empty(0),
    "ids": np.array([1, 2]),
    "module": TorchObject("nn.ReLU", {"inplace": True, "note": None}),
}


@pytest.mark.parametrize("data", [write_torch7(SMALL), legacy_torch7({1: np.ones((2, 2))})])
def test_a_truncated_file_is_refused(data: bytes) -> None:
    read_torch7(data)
    for size in range(len(data)):
        with pytest.raises(Torch7Error):
            read_torch7(data[:size])


def test_changed_bytes_raise_no_other_error() -> None:
    data = write_torch7(SMALL)
    rng = np.random.default_rng(0)
    for place in range(len(data)):
        for byte in {0, 1, 0x7F, 0xFF, int(rng.integers(256))}:
            try:
                read_torch7(data[:place] + bytes([byte]) + data[place + 1 :])
            except Torch7Error as error:
                message = str(error)
            else:
                continue
            assert "expected" in message and "at byte" in message


def test_random_bytes_are_refused() -> None:
    rng = np.random.default_rng(1)
    for size in range(0, 400, 7):
        # A valid type first, so that the reader gets to the random bytes after it.
        tag = struct.pack("<i", rng.integers(3, 5)) if size % 2 else b""
        with pytest.raises(Torch7Error):
            read_torch7(tag + rng.bytes(size))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a value at byte 0, got 0 bytes of 4"),
        (b"\xff\xd8\xff\xe0 a JPEG", "at byte 0, got type"),
        (b"4\n1\n3\nV 1\n", "ASCII"),
        (write_torch7(1.0) + b"more", "expected the end at byte 12, got 4 more bytes"),
        (struct.pack("<iii", 6, 1, 0), "a Lua function"),
        (struct.pack("<iii", 8, 1, 0), "a Lua function"),
        (struct.pack("<ii", 5, 2), "0 or 1"),
        (struct.pack("<ii", 2, -1), "one of -1 bytes"),
        (struct.pack("<ii", 2, 2**31 - 1), "2147483647 bytes with 0 left"),
        (struct.pack("<iii", 3, 1, 2**30), "1073741824 entries with 0 bytes left"),
        (struct.pack("<iii", 3, 1, -1), "-1 entries"),
        (struct.pack("<iii12x", 3, 1, 1), "expected a key"),
        (struct.pack("<iii", 3, 1, 2) + 2 * struct.pack("<idi", 1, 1, 0), "each key once"),
        (struct.pack("<ii", 4, 1) + string("nn.ReLU") + struct.pack("<i", 0), "the fields of"),
        (struct.pack("<ii", 4, 1) + string("torch.CudaTensor"), "on the CPU with :float()"),
        (tensor_head((2,), (1,)) + struct.pack("<i", 0), "no storage"),
        (tensor_head((2,), (1,)) + struct.pack("<id", 1, 0), "a value of type 1"),
        (tensor_head((2,), (1,)) + struct.pack("<ii", 4, 2) + string("nn.ReLU"), "'nn.ReLU'"),
        (tensor_head((2,), (1,), kind="Float") + storage([1, 2]), "'torch.DoubleStorage'"),
        (tensor_head((3,), (1,)) + storage([1, 2]), "within its storage of 2"),
        (tensor_head((2,), (1,), offset=2) + storage([1, 2]), "within its storage of 2"),
        (tensor_head((2,), (1,), offset=0) + storage([1, 2]), "offset 0"),
        (tensor_head((2,), (-1,), offset=2) + storage([1, 2]), r"strides \(-1,\)"),
        (tensor_head((2, -1), (1, 1)) + storage([1, 2]), "sizes and strides over a storage"),
        (tensor_head((2**40,), (0,)) + storage([1]), ":clone()"),
        (tensor_head((2**62, 2**62), (0, 0)) + storage([1]), ":clone()"),
        (tensor_head((1,) * 40, (1,) * 40) + storage([1]), "0 to 32 dimensions"),
        (storage([])[:-8] + struct.pack("<q", 2**60), "1152921504606846976 elements"),
        (storage([])[:-8] + struct.pack("<q", -1), "-1 elements"),
    ],
)
def test_an_error_states_the_position_and_a_remedy(data: bytes, message: str) -> None:
    pattern = message if "\\" in message else message.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(Torch7Error, match=pattern) as caught:
        read_torch7(data)
    assert isinstance(caught.value, RaybootError)
    assert ";" in str(caught.value), "there is no remedy"


def test_a_reference_to_another_type_is_refused() -> None:
    number = struct.pack("<id", 1, 1)
    # A table whose entry is an object with the table's own index, and the reverse.
    with pytest.raises(Torch7Error, match="reference of its own kind"):
        read_torch7(struct.pack("<iii", 3, 1, 1) + number + struct.pack("<ii", 4, 1))
    head = struct.pack("<ii", 4, 1) + string("nn.ReLU")
    with pytest.raises(Torch7Error, match="reference of its own kind"):
        read_torch7(head + struct.pack("<ii", 3, 1))
    # A tensor whose storage is a reference to a tensor.
    first = number + tensor_head((1,), (1,)) + storage([7])
    second = struct.pack("<id", 1, 2) + tensor_head((1,), (1,)).replace(
        struct.pack("<ii", 4, 1), struct.pack("<ii", 4, 3), 1
    )
    table = struct.pack("<iii", 3, 9, 2) + first + second
    np.testing.assert_array_equal(read_torch7(table + struct.pack("<ii", 4, 2))[2], [7])
    with pytest.raises(Torch7Error, match=r"torch.DoubleStorage .* number 1, which is another"):
        read_torch7(table + struct.pack("<ii", 4, 1))


def test_the_stride_of_a_dimension_of_size_1_is_ignored() -> None:
    array = read_torch7(tensor_head((1, 2), (2**62, 1)) + storage([1, 2]))
    np.testing.assert_array_equal(array, [[1, 2]])


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    levels = (struct.pack("<iiiid", 3, index, 1, 1, 1) for index in range(50_000))
    with pytest.raises(Torch7Error, match="nested over 1000 deep"):
        read_torch7(b"".join(levels))


@pytest.mark.parametrize(
    "value",
    [
        np.array(1.0),
        np.empty((0, 3)),
        np.ones(2, bool),
        np.ones(2, complex),
        object(),
        {(1, 2): 3},
        2**60,
    ],
)
def test_values_without_an_equivalent_in_torch7_are_refused(value: object) -> None:
    with pytest.raises(Torch7Error, match=r"Torch7"):
        write_torch7(value)
