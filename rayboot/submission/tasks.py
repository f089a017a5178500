"""The commands that take a config, and configs that were given to the wrong command."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml

from rayboot.config import FrozenConfig, load_config, parse_yaml
from rayboot.errors import RequestError
from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.pipeline.export_request import ReconstructConfig
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.rounds.robustness import RobustnessConfig
from rayboot.rounds.round_config import RoundConfig
from rayboot.serving.serve_config import ServeConfig
from rayboot.synthesis import SynthesisConfig
from rayboot.train.training_config import FinetuneConfig, PretrainConfig

__all__ = [
    "CONFIG_TYPES",
    "TASKS",
    "Task",
    "find_commands",
    "load_any_config",
    "load_task_config",
]

ConfigT = TypeVar("ConfigT", bound=FrozenConfig)


class Task(NamedTuple):
    """A command that can be submitted.

    Attributes:
        config_type: class of its config; None where the command takes no config.
        config_required: whether the command needs a config.
    """

    config_type: type[FrozenConfig] | None
    config_required: bool = True


TASKS: dict[str, Task] = {
    "synthesize": Task(SynthesisConfig),
    "pack": Task(None, config_required=False),
    "plan": Task(GenerateConfig),
    "generate": Task(GenerateConfig),
    "pretrain": Task(PretrainConfig),
    "finetune": Task(FinetuneConfig),
    # The experiment `robustness` works without a config, see `_check_config`.
    "evaluate": Task(EvaluateConfig),
    "round": Task(RoundConfig),
    "reconstruct": Task(ReconstructConfig, config_required=False),
}
"""Commands that can be submitted: all whose inputs and outputs need not be on this machine."""

CONFIG_TYPES: dict[str, type[FrozenConfig]] = {
    **{name: task.config_type for name, task in TASKS.items() if task.config_type is not None},
    "robustness": RobustnessConfig,
    "serve": ServeConfig,
}
"""Class of the config of every command that takes one; ``robustness`` is the experiment."""

_ROBUSTNESS = "evaluate --experiment robustness"


def load_task_config(config_type: type[ConfigT], path: str | Path) -> ConfigT:
    """Reads the config of a command, as :func:`rayboot.config.load_config`.

    Raises:
        RequestError: the file is no valid config; where it is one of another command, the message
            names that.
    """
    try:
        return load_config(config_type, path)
    except RequestError as error:
        commands = find_commands(config_type, path)
        if not commands:
            raise
        names = " or ".join(f"`rayboot {command} --config {path}`" for command in commands)
        raise RequestError(f"config {path}: is a config of another command; run {names}") from error


def load_any_config(path: str | Path) -> FrozenConfig | None:
    """Returns the config of whichever command has its keys; None if no command has.

    Raises:
        RequestError: by its keys the config belongs to a command, and a value is invalid.
    """
    errors = []
    for command in find_commands(FrozenConfig, path):
        kind = "robustness" if command == _ROBUSTNESS else command
        try:
            return load_config(CONFIG_TYPES[kind], path)
        except RequestError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return None


def find_commands(config_type: type[FrozenConfig], path: str | Path) -> list[str]:
    """Returns the commands to which a config belongs by its keys; none if it may be of the type."""
    try:
        values = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    if not isinstance(values, Mapping) or _has_keys_of(config_type, values):
        return []
    commands = [name for name, kind in CONFIG_TYPES.items() if _has_keys_of(kind, values)]
    # `plan` reads the configs of `generate`.
    return [_ROBUSTNESS if name == "robustness" else name for name in commands if name != "plan"]


def _has_keys_of(config_type: type[FrozenConfig], values: Mapping[Any, Any]) -> bool:
    """Whether all keys are known to a class, and no required one is missing."""
    fields = config_type.model_fields
    former = config_type.former_keys
    keys = {former[key].name.partition(".")[0] if key in former else key for key in values}
    required = {name for name, field in fields.items() if field.is_required()}
    return required <= keys <= fields.keys()
