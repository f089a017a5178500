"""Notebooks as Markdown pages: texts, code, and the outputs that are stored in them."""

import base64
import json
from pathlib import Path
from typing import Any

__all__ = ["make_notebook_page"]

_IMAGES = {"image/png": "png", "image/jpeg": "jpg"}


def make_notebook_page(notebook: Path, folder: Path) -> str:
    """Returns the page of a notebook, and writes the images and HTML of its outputs.

    Args:
        notebook: file that was executed, so that it has outputs.
        folder: folder of the page, where the files are written under the notebook's name.
    """
    content = json.loads(notebook.read_text("utf-8"))
    parts = []
    for number, cell in enumerate(content["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(_show_code(source))
        for index, output in enumerate(cell["outputs"]):
            stem = f"{notebook.stem}-{number}-{index}"
            parts.append(_describe_output(output, stem, folder))
    parts.append(f"This page is the notebook `docs/notebooks/{notebook.name}`, as it was executed.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _show_code(source: str) -> str:
    first, _, rest = source.partition("\n")
    if first.startswith("%%writefile "):
        # The cell's output names the file.
        return f"```yaml\n{rest}\n```"
    return f"```sh\n{rest}\n```" if first == "%%bash" else f"```python\n{source}\n```"


def _describe_output(output: dict[str, Any], stem: str, folder: Path) -> str:
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text']).rstrip()}\n```"
    if output["output_type"] == "error":
        raise ValueError(f"{stem}: the notebook ended with {output['ename']}; execute it again")
    data = output["data"]
    folder.mkdir(parents=True, exist_ok=True)
    for kind, suffix in _IMAGES.items():
        if kind in data:
            image = "".join(data[kind]).replace("\n", "")
            (folder / f"{stem}.{suffix}").write_bytes(base64.b64decode(image))
            return f"![{''.join(data['text/plain'])}]({stem}.{suffix})"
    if "text/html" in data:
        (folder / f"{stem}.html.txt").write_text("".join(data["text/html"]), "utf-8")
        return f"```{{raw}} html\n:file: {stem}.html.txt\n```"
    return f"```text\n{''.join(data['text/plain']).rstrip()}\n```"
