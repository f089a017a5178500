"""Colour profiles: photos of phones and cameras in sRGB, the space of networks and renderers.

Cameras that are set to Adobe RGB often embed no profile, but an entry of EXIF (DCF's R03).
"""

import io
from functools import lru_cache
from itertools import product

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageCms

__all__ = ["convert_to_srgb"]

_ADOBE_RGB_INDEX = "R03"
_INTEROPERABILITY_INDEX = 1

_ADOBE_RGB_GAMMA = 563 / 256
_ADOBE_TO_SRGB = np.array(
    [[1.39836, -0.39836, 0.0], [0.0, 1.0, 0.0], [0.0, -0.04293, 1.04293]], np.float32
)
"""Linear Adobe RGB (1998) to linear sRGB: both have the white of D65, and the same red and blue."""

_MAX_SRGB_DIFFERENCE = 2
"""Largest change of a colour, of 255, that a profile may cause and still count as sRGB; the pixels
are then left as they are."""

_SRGB_GAMMA, _GAMMA_TOLERANCE, _GAMMA_RANGE = 1 / 2.2, 0.1, (0.1, 2.0)
"""Exponent of a PNG whose values are those of sRGB, its tolerance as viewers have it, and the range
of exponents that mean one."""

_PROBE_LEVELS = (0, 32, 64, 128, 192, 255)

_Transform = PIL.ImageCms.ImageCmsTransform


def convert_to_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Returns the image in sRGB if it contains a profile of another colour space.

    A profile that is damaged, or meant for another number of channels, is ignored, as viewers do.

    Args:
        image: Image of any mode; those of more than 8 bits per channel are returned as they are.
    """
    profile = image.info.get("icc_profile")
    if not profile:
        if (gamma := _png_gamma(image)) is not None:
            return _convert_gamma(image, gamma)
        return _convert_adobe_rgb(image) if _is_adobe_rgb_by_exif(image) else image
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode in ("LA", "RGBA"):
        alpha = image.getchannel("A")
        converted = _convert(image.convert(image.mode[:-1]), profile)
        if converted is None:
            return image
        converted.putalpha(alpha)
        return converted
    return _convert(image, profile) or image


def _png_gamma(image: PIL.Image.Image) -> float | None:
    """Returns the exponent of a PNG of 8 bits whose values are not encoded like sRGB's, else None.

    Renderers write linear values so; browsers and viewers convert them.
    """
    gamma = image.info.get("gamma")
    if not isinstance(gamma, float) or not _GAMMA_RANGE[0] <= gamma <= _GAMMA_RANGE[1]:
        return None
    is_srgb = "srgb" in image.info or abs(gamma / _SRGB_GAMMA - 1) <= _GAMMA_TOLERANCE
    return gamma if not is_srgb and image.mode in ("L", "LA", "P", "RGB", "RGBA") else None


def _convert_gamma(image: PIL.Image.Image, gamma: float) -> PIL.Image.Image:
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    linear = (np.arange(256) / 255) ** (1 / gamma)
    table = _SRGB_LEVELS[np.round(linear * _NUM_LEVELS).astype(np.uint16)]
    converted = PIL.Image.fromarray(table[np.asarray(image.convert("RGB"))])
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _is_adobe_rgb_by_exif(image: PIL.Image.Image) -> bool:
    """Whether EXIF says that the colours are Adobe RGB; damaged EXIF says nothing."""
    try:
        index = image.getexif().get_ifd(PIL.ExifTags.IFD.Interop).get(_INTEROPERABILITY_INDEX, "")
    except Exception:  # Pillow raises many classes on damaged EXIF, SyntaxError among them
        return False
    return image.mode == "RGB" and str(index).strip("\0 ") == _ADOBE_RGB_INDEX


def _convert_adobe_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    levels = (np.arange(256, dtype=np.float32) / 255) ** np.float32(_ADOBE_RGB_GAMMA)
    linear = levels[np.asarray(image)] @ _ADOBE_TO_SRGB.T
    return PIL.Image.fromarray(
        _SRGB_LEVELS[np.clip(linear * _NUM_LEVELS, 0, _NUM_LEVELS).round().astype(np.uint16)]
    )


def _srgb_levels() -> np.ndarray:
    """Returns the encoded values, of 255, of linear ones at :data:`_NUM_LEVELS` + 1 levels."""
    linear = np.arange(_NUM_LEVELS + 1) / _NUM_LEVELS
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * encoded).round().astype(np.uint8)


_NUM_LEVELS = 2**16 - 1
_SRGB_LEVELS = _srgb_levels()


def _convert(image: PIL.Image.Image, profile: bytes) -> PIL.Image.Image | None:
    """Returns the image as RGB; None where nothing has to be, or can be, converted."""
    if image.mode not in ("L", "RGB", "CMYK"):
        return None
    transform = _transform(profile, image.mode)
    # Pillow has no type for what it returns if not in place.
    return None if transform is None else PIL.ImageCms.applyTransform(image, transform)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> _Transform | None:
    try:
        source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = PIL.ImageCms.createProfile("sRGB")
        transform = PIL.ImageCms.buildTransform(source, target, mode, "RGB")
    except (PIL.ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
    probe = _probe(mode)
    if probe is None:
        return transform
    converted = PIL.ImageCms.applyTransform(probe, transform)
    if converted is None:
        return None
    difference = np.asarray(converted, int) - np.asarray(probe.convert("RGB"), int)
    return None if np.abs(difference).max() <= _MAX_SRGB_DIFFERENCE else transform


def _probe(mode: str) -> PIL.Image.Image | None:
    """Returns an image of colours that show whether a profile is sRGB; None for CMYK."""
    if mode == "CMYK":
        return None
    if mode == "L":
        return PIL.Image.fromarray(np.array([_PROBE_LEVELS], np.uint8))
    colours = np.array([list(product(_PROBE_LEVELS, repeat=3))], np.uint8)
    return PIL.Image.fromarray(colours)
