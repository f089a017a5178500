"""Training a network from scratch on faces with known shape, in one process."""

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import rayboot
from rayboot.data.ground_truth import read_truth
from rayboot.data.images import decode_photo
from rayboot.data.splits import assign_split
from rayboot.errors import RequestError
from rayboot.geometry.crop import warp_photo
from rayboot.io.storage import join_uri, read_bytes
from rayboot.models import (
    HeadConfig,
    NetworkConfig,
    Reconstructor,
    UNetConfig,
    VRNConfig,
    make_network,
    save_network,
)
from rayboot.models.default_device import default_device
from rayboot.train.loop import StepRecord, train_epochs
from rayboot.train.sample_store import Sample, SampleStore
from rayboot.train.train_state import EpochRecord, TrainState, load_position
from rayboot.train.training_config import PretrainConfig

__all__ = ["pretrain", "read_truth_samples"]

_NETWORKS: dict[str, Callable[[], NetworkConfig]] = {
    "unet": UNetConfig,
    "vrn": VRNConfig.compact,
    "head": HeadConfig,
}

_SAVE_INTERVAL_S = 300.0


def pretrain(config: PretrainConfig, network_config: NetworkConfig | None = None) -> Path:
    """Trains a network; saves the epoch with the lowest validation loss.

    Args:
        config: settings of the run.
        network_config: architecture; by default that of the small network named by
            ``config.network``.

    A run with the same config and output resumes where an interrupted one saved its state.

    Returns:
        Path of the weights (safetensors); ``record.json`` in the same folder documents the run.
    """
    torch.manual_seed(config.optimizer.seed)
    network = make_network(network_config or _NETWORKS[config.network]())
    train, val = read_truth_samples(config, network)
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    weights = output / f"{config.network}.safetensors"
    state = TrainState(network.to(default_device()), config.optimizer)
    saved = _SavedState(output / "state.pt", config)
    saved.restore(state)
    for record in train_epochs(state, train, val, on_step=_progress_bar(state, saved)):
        if record.val_loss <= min(previous.val_loss for previous in state.epochs):
            save_network(state.result, weights)
        saved.save(state)
        tqdm.write(
            f"epoch {record.epoch + 1}/{config.optimizer.num_epochs}  train {record.train_loss:.4f}"
            f"  val {record.val_loss:.4f}  IoU {record.val_iou:.4f}"
        )
        _write_record(output / "record.json", config, network, state.epochs, saved.seconds())
    return weights


class _SavedState:
    """The state of an unfinished run in a file, written after each epoch and every few minutes."""

    def __init__(self, path: Path, config: PretrainConfig) -> None:
        self._path = path
        self._digest = config.replace(data="", output="").digest()
        self._earlier_s, self._started = 0.0, time.monotonic()
        self._saved_at = self._started

    def seconds(self) -> float:
        """Returns the time that the run has taken, in all its parts."""
        return self._earlier_s + time.monotonic() - self._started

    def restore(self, state: TrainState) -> None:
        """Sets ``state`` to what the file contains, if there is one.

        Raises:
            RequestError: the file is of a run with another config.
        """
        if not self._path.exists():
            return
        stored = load_position(self._path)
        if stored["config"] != self._digest:
            raise RequestError(
                f"{self._path}: is the state of a run with another config; give another output, "
                "or remove the file to start anew"
            )
        self._earlier_s = stored["seconds"]
        state.restore(stored["position"], stored["weights"])

    def save(self, state: TrainState) -> None:
        """Writes the file, atomically."""
        stored = {
            "config": self._digest,
            "seconds": self.seconds(),
            "position": state.position(),
            "weights": state.result.state_dict(),
        }
        temporary = self._path.with_suffix(".tmp")
        torch.save(stored, temporary)
        temporary.replace(self._path)
        self._saved_at = time.monotonic()

    def save_if_due(self, state: TrainState) -> None:
        """Writes the file if the last one is older than a few minutes."""
        if time.monotonic() - self._saved_at > _SAVE_INTERVAL_S:
            self.save(state)


def read_truth_samples(
    config: PretrainConfig, network: Reconstructor
) -> tuple[SampleStore, SampleStore]:
    """Reads training and validation samples of a synthetic data set, split by identity.

    Args:
        config: settings of the run.
        network: network to train.
    """
    # Columns of the ground truth have the names of the target kinds.
    columns = ["face_id", "group_id", "crop", "shape", network.target_kind]
    samples: dict[str, list[Sample]] = {"train": [], "val": []}
    shape = (0, 0, 0)
    for row in tqdm(read_truth(config.data, columns).to_pylist(), desc="read", unit="photo"):
        shape = tuple(row["shape"])
        photo = decode_photo(read_bytes(join_uri(config.data, row["face_id"])))
        image = warp_photo(photo, np.reshape(row["crop"], (2, 3)), shape[2])
        split = assign_split(row["group_id"], config.optimizer.seed, config.val_fraction)
        samples[split].append(Sample(image, row[network.target_kind]))
    train, val = (SampleStore(samples[split], shape, network.decode) for split in ("train", "val"))
    return train, val


def _progress_bar(state: TrainState, saved: _SavedState) -> Callable[[StepRecord], None]:
    bar = tqdm(unit="step", mininterval=2.0, leave=False)

    def on_step(record: StepRecord) -> None:
        if record.step == 0:
            bar.reset(total=record.num_steps)
            bar.set_description(f"epoch {state.next_epoch + 1}")
        bar.set_postfix(loss=f"{record.loss:.4f}", refresh=False)
        bar.update()
        saved.save_if_due(state)

    return on_step


def _write_record(
    path: Path,
    config: PretrainConfig,
    network: Reconstructor,
    records: list[EpochRecord],
    seconds: float,
) -> None:
    record = {
        "rayboot": rayboot.__version__,
        "torch": torch.__version__.split("+")[0],
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "seconds": round(seconds),
        "config": config.model_dump(mode="json", exclude={"data", "output"}),
        "network": network.config.model_dump(mode="json"),
        "epochs": [record._asdict() for record in records],
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
