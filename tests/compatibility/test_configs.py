"""Configs of version 0.1: accepted with a warning for each former key, equal to today's configs."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayboot.config import FrozenConfig, load_config
from rayboot.rounds.demo import DemoConfig
from rayboot.rounds.robustness import RobustnessConfig
from rayboot.submission.tasks import TASKS

ROOT = Path(__file__).resolve().parents[2]
FORMER_CONFIGS = Path(__file__).parent / "v0.1/configs"
DATASET_NAMES = {"made faces": "synthetic faces"}
AUGMENTATION = {
    "flip": True, "crop_shift": 0.04, "crop_scale": 0.08, "crop_roll_deg": 10.0,
    "color_jitter": 0.3, "gamma": 0.4, "grey": 0.15, "light": 0.4, "blur": 0.01,
    "reduction": 3.0, "noise": 0.04, "occlusion": 0.2,
}  # fmt: skip
ROUND = {
    "generate": {
        "views": {"both_sides_within_deg": 8.0},
        "inference": {"average_mirrored": True},
    },
    "finetune": {
        "source_fraction": 0.25,
        "distillation": 8.0,
        "optimizer": {
            "learning_rate": 2e-3,
            "num_epochs": 6,
            "lr_halving_epochs": 5,
            "schedule": "cosine",
            "warmup_epochs": 0.5,
            "augment": AUGMENTATION,
        },
    },
}
DEMO = {**ROUND, "test_photos": {"yaw": {"kind": "uniform", "max_deg": 90.0}}}
AFLW2000 = {
    "kind": "aflw2000",
    "data": "data/faces/AFLW2000",
    "annotation": "original",
    "reannotation": None,
    "implausible": "leave_out",
}
REAL_PHOTOS = {
    "evaluation": {
        "datasets": {
            "AFLW2000-3D": {"part": "development"},
            "AFLW2000-3D-report": {**AFLW2000, "part": "report"},
        }
    }
}
CHANGED_SINCE: dict[str, dict[str, Any]] = {
    "demo.yaml": DEMO,
    "round-photos.yaml": ROUND,
    "round-real-photos.yaml": ROUND | REAL_PHOTOS,
    "round-real-photos-as-turned.yaml": ROUND | REAL_PHOTOS,
    "generate-laptop.yaml": {"views": {"both_sides_within_deg": 8.0}},
    "evaluate-made-faces.yaml": {"models": {"base": "builtin:base"}},
    "finetune-spot.yaml": {"optimizer": {"micro_batch_size": 16}},
    "synthesize-baseline.yaml": {
        "backgrounds": "data/backgrounds",
        "solid_depth": 84.0,
        "slices": 112,
    },
    "pretrain-baseline.yaml": {
        "network": "unet",
        "optimizer": {
            "learning_rate": 2e-3,
            "num_epochs": 6,
            "lr_halving_epochs": 5,
            "schedule": "cosine",
            "warmup_epochs": 0.5,
            "weight_decay": 0.01,
            "augment": AUGMENTATION
            | {"color_jitter": 0.35, "gamma": 0.5, "light": 0.5, "noise": 0.05},
        },
    },
}
"""Values that configs of today have on purpose and those of 0.1 do not."""

NAMES = sorted(path.name for path in FORMER_CONFIGS.glob("*.yaml"))


def command_of(name: str) -> str:
    """The command that configs/README.md names for a config, without `rayboot`."""
    readme = (ROOT / "configs/README.md").read_text("utf-8")
    (command,) = re.findall(rf"^\| `{re.escape(name)}` \| `rayboot ([^`]+)`", readme, re.MULTILINE)
    return str(command)


def config_type_of(name: str) -> type[FrozenConfig]:
    if name == "demo.yaml":
        return DemoConfig
    task, *options = command_of(name).split()
    config_type = RobustnessConfig if "robustness" in options else TASKS[task].config_type
    assert config_type is not None
    return config_type


def current_path(name: str) -> Path:
    return ROOT / ("rayboot/rounds" if name == "demo.yaml" else "configs") / name


def former_names() -> dict[str, set[str]]:
    """New names by former key, of all configs; their classes are imported with the commands."""
    names: dict[str, set[str]] = {}
    queue: list[type[FrozenConfig]] = [FrozenConfig]
    while queue:
        config_type = queue.pop()
        queue += config_type.__subclasses__()
        for key, former in config_type.former_keys.items():
            names.setdefault(key, set()).add(former.name)
    return names


def keys_in(values: Any) -> Iterator[str]:
    """Every key of nested mappings, as often as it occurs."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield str(key)
            yield from keys_in(value)
    elif isinstance(values, list):
        for value in values:
            yield from keys_in(value)


def with_current_dataset_names(values: Any) -> Any:
    """Returns the values under today's names of data sets, which a config chooses freely."""
    if isinstance(values, dict):
        return {
            DATASET_NAMES.get(key, key): with_current_dataset_names(value)
            for key, value in values.items()
        }
    return values


def with_changes(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Returns nested mappings with some of their values replaced."""
    replaced = {
        key: with_changes(values.get(key, {}), change) if isinstance(change, dict) else change
        for key, change in changes.items()
    }
    return {**values, **replaced}


@pytest.mark.parametrize("name", NAMES)
def test_a_former_config_equals_todays(name: str, caplog: pytest.LogCaptureFixture) -> None:
    config_type = config_type_of(name)
    with caplog.at_level(logging.WARNING, "rayboot.config"):
        former = load_config(config_type, FORMER_CONFIGS / name)
    warned = [re.match(r"config key (\S+) is now ([\w.]+)", text) for text in caplog.messages]
    pairs = sorted(match.groups() for match in warned if match is not None)
    new_names = former_names()
    values = yaml.safe_load((FORMER_CONFIGS / name).read_text("utf-8"))
    former_keys = sorted(key for key in keys_in(values) if key in new_names)
    assert [key for key, _ in pairs] == former_keys
    assert all(new_name in new_names[key] for key, new_name in pairs)
    caplog.clear()
    current = load_config(config_type, current_path(name))
    assert not caplog.messages
    expected = with_current_dataset_names(former.model_dump())
    assert with_changes(expected, CHANGED_SINCE.get(name, {})) == current.model_dump()


def test_every_former_config_still_exists() -> None:
    assert all(current_path(name).exists() for name in NAMES)
    # Without former keys the comparison above would be trivial.
    assert len(former_names()) >= 10
