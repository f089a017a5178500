"""Reading the config of a command; one of another command is refused with that command's name."""

from pathlib import Path
from typing import TypeVar

from rayboot.config import FrozenConfig, load_config
from rayboot.errors import RequestError

__all__ = ["load_task_config"]

ConfigT = TypeVar("ConfigT", bound=FrozenConfig)


def load_task_config(config_type: type[ConfigT], path: Path) -> ConfigT:
    """Reads a config, see :func:`rayboot.submission.tasks.load_task_config`.

    The configs of all commands, which import Ray and PyTorch, are loaded only for a message.

    Raises:
        RequestError: the file is no valid config of the class.
    """
    try:
        return load_config(config_type, path)
    except RequestError:
        from rayboot.submission import tasks

        return tasks.load_task_config(config_type, path)
