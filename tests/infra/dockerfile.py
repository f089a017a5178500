"""Reads a Dockerfile: stages and their steps, as far as ours goes."""

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "infra/Dockerfile"


class Step(NamedTuple):
    """An instruction, such as RUN, and what follows it."""

    instruction: str
    text: str

    def words(self) -> list[str]:
        """Of COPY, USER and the like; a JSON list or words."""
        text = self.text
        return json.loads(text) if text.startswith("[") else shlex.split(text)


class Stage(NamedTuple):
    """What one FROM begins.

    Attributes:
        name: of the stage.
        base: name of another stage, or an image.
        steps: in order.
    """

    name: str
    base: str
    steps: list[Step]

    def of(self, instruction: str) -> list[Step]:
        """Steps of one kind."""
        return [step for step in self.steps if step.instruction == instruction]


def read_dockerfile(text: str) -> tuple[dict[str, str], dict[str, Stage]]:
    """Arguments before the first stage, and the stages by name."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for line in filter(None, map(str.strip, joined.splitlines())):
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()  # type: ignore[union-attr]
            for key, value in arguments.items():
                base = base.replace(f"${{{key}}}", value)
            stages[name] = stage = Stage(name, base, [])
        elif not stages:
            assert instruction == "ARG", line
            arguments |= [rest.split("=", 1)]
        else:
            stage.steps.append(Step(instruction, rest))
    return arguments, stages


def ancestry(stages: dict[str, Stage], name: str) -> list[Stage]:
    """The stage with what it is built on, oldest first; the image at its root left out."""
    line = []
    while name in stages:
        line.insert(0, stages[name])
        name = stages[name].base
    return line


def environment(stage: Stage) -> dict[str, str]:
    """What its ENV steps set, unexpanded."""
    pairs = [word.split("=", 1) for step in stage.of("ENV") for word in step.words()]
    return {key: value for key, value in pairs}
