"""Counts in sentences: ``1 mesh``, ``2 meshes``."""

__all__ = ["describe_count"]

_SIBILANTS = ("s", "x", "z", "ch", "sh")


def describe_count(count: int, noun: str, singular: str = "", plural: str = "") -> str:
    """Returns a number with its noun, and with words that depend on it.

    Args:
        count: the number.
        noun: the noun in the singular; its plural is regular.
        singular: what follows the noun where the count is 1, such as ``was added``.
        plural: what follows it otherwise, such as ``were added``.
    """
    if count == 1:
        return f"{count} {noun} {singular}".rstrip()
    ending = "es" if noun.endswith(_SIBILANTS) else "s"
    return f"{count} {noun}{ending} {plural}".rstrip()
