"""The size of faces in metres, as far as one photo tells it: by the size of people on average.

A photo leaves the size of a face open. The crop makes faces equally large, so that a pixel of the
crop is as long in every photo, on average over people and poses.
"""

from typing import Literal

__all__ = ["MEAN_OUTER_EYE_DISTANCE_M", "MeshUnit", "metres_per_pixel", "units_per_pixel"]

MeshUnit = Literal["metre", "pixel"]
"""Unit of a mesh: metres by the mean size of people, or pixels of the crop."""

MEAN_OUTER_EYE_DISTANCE_M = 0.0907
"""Mean distance between the outer eye corners of adults: that of men (93.0 mm) and women (88.4 mm).

Within the sample men have a standard deviation of 5.6 mm and women of 3.7 mm; means of other
populations differ from these.

Source: biocular widths (ex-ex) of 51 Chinese men and 52 Chinese women of 18 to 35 years in Hong
Kong; Jayaratne, Deutsch and Zwahlen, BioMed Research International 2013, article 821428, table 2.
"""

_OUTER_EYE_FRACTION = 0.2977
"""Outer eye distance as a fraction of the crop's width: mean of synthetic faces at all yaws, of
standard deviation 0.02; ``benchmarks/turned_views.py`` measures it."""


def metres_per_pixel(resolution: int) -> float:
    """Returns the length of a pixel of a face crop in metres, on average.

    Args:
        resolution: width and height of the crop, px.
    """
    return MEAN_OUTER_EYE_DISTANCE_M / (_OUTER_EYE_FRACTION * resolution)


def units_per_pixel(unit: MeshUnit, resolution: int) -> float:
    """Returns the length of a pixel of a face crop in a unit.

    Args:
        unit: the unit.
        resolution: width and height of the crop, px.
    """
    return metres_per_pixel(resolution) if unit == "metre" else 1.0
