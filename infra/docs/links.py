"""Links in Markdown, rewritten from files of the repository to pages of the site."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["find_fences", "rewrite_links"]

_FENCE = re.compile(r"^( *)(`{3,}|~{3,})(.*)\n((?:.*\n)*?)\1\2`*~* *$", re.MULTILINE)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"(\]\()([^()\s]+)(\))")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def find_fences(text: str) -> Iterator[tuple[str, str, int]]:
    """Yields info string, content and line of each block of code, the first line being 1."""
    for match in _FENCE.finditer(text):
        yield match[3].strip(), match[4], text.count("\n", 0, match.start()) + 1


def rewrite_links(text: str, file: Path, page: str, locate: Callable[[Path], str]) -> str:
    """Returns Markdown whose links to files are links between pages.

    Links to other sites and within the page stay, and so does code.

    Args:
        text: the content of ``file``.
        file: path relative to the repository, from which the links start.
        page: name of the page on the site, without a suffix.
        locate: returns where a file or folder (relative to the repository) is on the site.
    """

    def rewrite(match: re.Match[str]) -> str:
        target, hash_sign, anchor = match[2].partition("#")
        if not target or _SCHEME.match(target):
            return match[0]
        linked = Path(os.path.normpath(file.parent / target))
        relative = os.path.relpath(locate(linked), Path(page).parent)
        return f"{match[1]}{relative}{hash_sign}{anchor}{match[3]}"

    return _outside_code(text, lambda part: _LINK.sub(rewrite, part))


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """Returns the text with a change of everything that is not code."""
    parts, end = [], 0
    fences = [match.span() for match in _FENCE.finditer(text)]
    for start, stop in [*fences, (len(text), len(text))]:
        prose = text[end:start]
        # A link may have code as its text, so that its target alone is outside of code.
        parts += [_change_prose(prose, change), text[start:stop]]
        end = stop
    return "".join(parts)


def _change_prose(text: str, change: Callable[[str], str]) -> str:
    codes: list[str] = []

    def hide(match: re.Match[str]) -> str:
        codes.append(match[0])
        return f"\0{len(codes) - 1}\0"

    changed = change(_CODE.sub(hide, text))
    return re.sub("\0(\\d+)\0", lambda match: codes[int(match[1])], changed)
