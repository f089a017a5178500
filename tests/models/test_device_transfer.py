import numpy as np
import pytest
import torch

from rayboot.models.device_transfer import HostCopy, open_side_stream, to_device_async
from tests.models.streams import PoisonedStream

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_survive_the_round_trip(device: str, dtype: type) -> None:
    arrays = [np.full((64, 64), number, dtype) for number in range(20)]
    tensors = [to_device_async(array.copy(), torch.device(device)) for array in arrays]
    assert all(tensor.device.type == device for tensor in tensors)
    # The tensors are changed after the copies were queued, which must not affect them.
    copies, stream = [], open_side_stream(torch.device(device))
    for tensor in tensors:
        copies.append(HostCopy(tensor.clone(), stream))
        tensor.mul_(2)
    for copy, array in zip(copies, arrays, strict=True):
        assert np.array_equal(copy.result(), array)


@pytest.mark.gpu
def test_a_host_copy_does_not_wait_for_later_work() -> None:
    large = torch.randn(4096, 4096, device="cuda")
    copy = HostCopy(torch.arange(10, device="cuda"), open_side_stream(torch.device("cuda")))
    for _ in range(50):
        large = large @ large / 64
    last = torch.cuda.Event()
    last.record()
    assert np.array_equal(copy.result(), np.arange(10))
    assert not last.query()


def test_a_host_copy_is_read_when_it_is_complete() -> None:
    numbers = torch.arange(10)
    copy = HostCopy(numbers, PoisonedStream())
    numbers.fill_(-1)
    assert np.array_equal(copy.result(), np.arange(10))
