"""Properties of packed and coarse volumes that hold for every input, checked on drawn ones."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayboot.geometry.volume import coarsen, pack_occupancy
from rayboot.models.compression import coarsen_volumes, pack_bits
from rayboot.models.transform import transform_volumes, unpack_bits
from rayboot.models.vrn import VRN

# Derandomised: the examples depend on the test alone, so runs are reproducible.
fast = settings(derandomize=True, deadline=None, max_examples=50)

seeds = st.integers(0, 2**32 - 1)
# Volumes (B, D, H, W) whose width is a multiple of 8, as packing to bytes requires.
shapes = st.tuples(
    st.integers(1, 3),
    st.integers(2, 10),
    st.integers(2, 10),
    st.integers(1, 3).map(lambda n: 8 * n),
)

with torch.device("meta"):
    NETWORK = VRN()


def draw_volumes(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Returns volumes (B, D, H, W) float32 in [0, 1)."""
    return torch.from_numpy(np.random.default_rng(seed).random(shape, np.float32))


@fast
@given(shape=shapes, seed=seeds, isovalue=st.floats(0, 1))
def test_unpacked_bits_are_the_thresholded_volumes(
    shape: tuple[int, ...], seed: int, isovalue: float
) -> None:
    volumes = draw_volumes(shape, seed)
    assert torch.equal(unpack_bits(pack_bits(volumes, isovalue)), volumes >= isovalue)


@fast
@given(shape=shapes, seed=seeds)
def test_stored_occupancy_decodes_to_the_packed_bits(shape: tuple[int, ...], seed: int) -> None:
    volumes = draw_volumes(shape, seed)
    bits = pack_bits(volumes, 0.5).numpy()
    for volume, expected in zip(volumes.numpy() >= 0.5, bits, strict=True):
        decoded = NETWORK.decode(pack_occupancy(volume), volume.shape)
        assert np.array_equal(decoded, expected)


@fast
@given(shape=shapes, seed=seeds)
def test_identity_transforms_keep_batches(shape: tuple[int, ...], seed: int) -> None:
    volumes = draw_volumes(shape, seed) < 0.5
    identities = np.tile(np.eye(3, 4), (len(volumes), 1, 1))
    assert torch.equal(transform_volumes(volumes, identities), volumes)


@fast
@given(shape=shapes, seed=seeds, cell=st.integers(0, 3))
def test_coarse_volumes_match_the_numpy_implementation(
    shape: tuple[int, ...], seed: int, cell: int
) -> None:
    volumes = draw_volumes(shape, seed)
    for actual, volume in zip(coarsen_volumes(volumes, cell).numpy(), volumes.numpy(), strict=True):
        expected = coarsen(volume, cell)
        assert actual.shape == expected.shape
        # Values are rounded to steps of 1/255.
        assert np.abs(actual - 255 * expected).max() < 0.51
