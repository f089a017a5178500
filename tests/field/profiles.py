"""Colour profiles (ICC, version 2), made by hand of primaries and a gamma."""

import struct

import numpy as np

# Primaries adapted to D50, as profiles contain them: columns are red, green and blue.
DISPLAY_P3 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
ADOBE_RGB = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
_D50 = (0.9642, 1.0, 0.82491)


def rgb_profile(primaries: np.ndarray, gamma: float | np.ndarray) -> bytes:
    """A profile of three primaries (3, 3), columns XYZ, and one curve."""
    curve = _curve(gamma)
    tags = {b"wtpt": _xyz(_D50), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    for channel, column in zip(b"rgb", primaries.T, strict=True):
        tags[bytes([channel]) + b"XYZ"] = _xyz(column)
    return _profile(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    """A profile of grey values."""
    return _profile(b"GRAY", {b"wtpt": _xyz(_D50), b"kTRC": _curve(gamma)})


def srgb_curve() -> np.ndarray:
    """The curve of sRGB at 1024 values: encoded to linear."""
    values = np.linspace(0, 1, 1024)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear values of sRGB's primaries as bytes, the truth of a conversion."""
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded)


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0", **tags}
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = start + len(data)
    header = struct.pack(">I4sI4s4s4s12x4s", size, b"lcms", 0x02400000, b"mntr", space, b"XYZ ",
                         b"acsp")  # fmt: skip
    header += bytes(28) + struct.pack(">3i", *(round(v * 65536) for v in _D50)) + bytes(48)
    assert len(header) == 128
    return header + table + data


def _xyz(values: object) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))


def _curve(gamma: float | np.ndarray) -> bytes:
    if isinstance(gamma, np.ndarray):
        values = np.rint(gamma * 65535).astype(">u2")
        return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + values.tobytes()
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
