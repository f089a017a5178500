"""Parser of the stages and steps of a Dockerfile, for the syntax that ours uses."""

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "infra/Dockerfile"


class Step(NamedTuple):
    """An instruction such as RUN, with its arguments."""

    instruction: str
    text: str

    def words(self) -> list[str]:
        """Returns the arguments of COPY, USER and the like, from a JSON list or words."""
        text = self.text
        return json.loads(text) if text.startswith("[") else shlex.split(text)


class Stage(NamedTuple):
    """A stage of the build, which begins with FROM.

    Attributes:
        name: name of the stage.
        base: name of another stage, or an image.
        steps: in order.
    """

    name: str
    base: str
    steps: list[Step]

    def steps_of(self, instruction: str) -> list[Step]:
        """Returns the steps with an instruction."""
        return [step for step in self.steps if step.instruction == instruction]


def read_dockerfile(text: str) -> tuple[dict[str, str], dict[str, Stage]]:
    """Returns the arguments before the first stage, and the stages by name."""
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
    """Returns a stage and the stages that it is built on, without the base image, base first."""
    line = []
    while name in stages:
        line.insert(0, stages[name])
        name = stages[name].base
    return line


def environment(stage: Stage) -> dict[str, str]:
    """Returns the variables of the ENV steps, without expansion."""
    pairs = [word.split("=", 1) for step in stage.steps_of("ENV") for word in step.words()]
    return dict(pairs)
