"""Settings of a training run."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from rayboot.config import FormerKey, FrozenConfig, ModelName, Uri

__all__ = [
    "AugmentConfig",
    "FinetuneConfig",
    "FinetuneSettings",
    "OptimizerConfig",
    "PretrainConfig",
    "TrainingConfig",
    "TrainingSettings",
]


class AugmentConfig(FrozenConfig):
    """Augmentation of the training images, drawn anew for every step; by default there is none."""

    flip: bool = False
    """Whether a random half of the samples is mirrored, image and shape alike."""
    crop_shift: float = Field(0.0, ge=0, le=0.2)
    """Largest shift of the crop, along each axis, as a fraction of its width; the shape is moved
    likewise."""
    crop_scale: float = Field(0.0, ge=0, le=0.5)
    """Largest relative change of the crop's scale, and of the shape's."""
    crop_roll_deg: float = Field(0.0, ge=0, le=90)
    """Largest rotation of crop and shape in the plane of the image."""
    color_jitter: float = Field(0.0, ge=0, lt=1)
    """Largest relative change of brightness, contrast and each channel."""
    gamma: float = Field(0.0, ge=0, le=1)
    """Largest absolute value of the logarithm of the exponent that image values are raised to."""
    grey: float = Field(0.0, ge=0, le=1)
    """Fraction of the images that become grey."""
    light: float = Field(0.0, ge=0, lt=1)
    """Largest change of brightness from the middle of the image to one side, which is random."""
    blur: float = Field(0.0, ge=0, le=0.05)
    """Largest standard deviation of a Gaussian blur, as a fraction of the image's width."""
    reduction: float = Field(1.0, ge=1, le=8)
    """Largest factor by which every third image is reduced and enlarged again."""
    noise: float = Field(0.0, ge=0, le=0.5)
    """Largest standard deviation of the noise, as a fraction of white."""
    occlusion: float = Field(0.0, ge=0, le=0.5)
    """Largest fraction of the image that a rectangle hides, in every second image: a plain one, or
    a part of another image."""


class OptimizerConfig(FrozenConfig):
    """Adam as in the paper: batches of 64, rate halved every 5 epochs, best epoch kept."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {
        "halve_every": FormerKey("lr_halving_epochs"),
        "average": FormerKey("ema_decay"),
    }

    batch_size: int = Field(64, ge=1)
    """Number of samples per step, over all workers."""
    micro_batch_size: PositiveInt | None = None
    """Number of samples that a worker computes at once; the gradients of a step's parts are
    summed, so the step remains one of ``batch_size`` samples while a GPU needs the memory of a
    part. Batch normalisation sees the parts. None computes a worker's whole share at once."""
    learning_rate: float = Field(3e-4, gt=0)
    """Initial learning rate. The paper does not state its own."""
    num_epochs: int = Field(10, ge=1)
    """Number of epochs."""
    lr_halving_epochs: int = Field(5, ge=1)
    """Number of epochs between halvings of the learning rate."""
    schedule: Literal["halving", "cosine"] = "halving"
    """Course of the learning rate: halved every ``lr_halving_epochs`` epochs, as in the paper, or
    along half a cosine from its initial value to 0."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Number of epochs, or a fraction of one, in which the learning rate rises to its value."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled decay of the weights, as AdamW has it, relative to the learning rate."""
    freeze_batch_norm: bool = False
    """Whether the statistics of batch normalisation stay as they are. Most images of a fine-tuning
    are renders, whose statistics are not those of photos."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the computation. ``auto``: bfloat16 where the processor supports it, else
    float32."""
    augment: AugmentConfig = AugmentConfig()
    """Augmentation of the images."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Decay of the exponential moving average of the weights, which is validated and saved, such
    as 0.999; 0 uses the weights of the last step."""
    seed: int = 0
    """Seed of order and augmentation."""


class TrainingSettings(FrozenConfig):
    """Settings of every training: its optimizer, its workers and its checkpoints."""

    checkpoint_steps: int = Field(500, ge=1)
    """Number of steps between checkpoints within an epoch: at most these are repeated when a
    worker is lost. Five minutes after a checkpoint the next one is written in any case."""
    num_workers: PositiveInt | tuple[PositiveInt, PositiveInt] = 1
    """Number of workers; two numbers are the minimum and the maximum, as machines come and go.
    With a single number, an interrupted run ends with the weights of an uninterrupted one: on
    CPUs to the last bit, on GPUs up to operations whose order varies from run to run."""
    max_failures: int = Field(8, ge=-1)
    """Number of losses of workers or machines after which the run fails; -1 sets no limit."""
    use_gpu: bool = False
    """Whether each worker uses a GPU."""
    compile: bool = False
    """Whether the network is compiled; only on GPUs. Compiling delays the
    first step; `rayboot doctor --gpu` measures what it gains."""
    cpus_per_worker: float = Field(1.0, gt=0)
    """Number of CPUs that each worker reserves."""
    depth_gradient: float = Field(0.0, ge=0)
    """Weight of the error of the surface's slopes, px per column, beside the cross-entropy of the
    voxels, which hardly sees what is smaller than the uncertainty of where a face lies in depth.
    Only for networks that predict volumes."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimizer and augmentation."""


class TrainingConfig(TrainingSettings, ABC):
    """A training with a name, whose checkpoints are stored and which is tracked in MLflow."""

    data: Uri
    """URI of the data set to train on."""
    name: str
    """Name of the run; the same name again resumes it."""
    tracking_uri: str | None = None
    """URI of the MLflow store; None is MLflow's own setting, ``MLFLOW_TRACKING_URI`` or a local
    SQLite file."""
    experiment: str = "rayboot"
    """MLflow experiment of the run."""

    @property
    @abstractmethod
    def checkpoint_uri(self) -> str:
        """Folder or URI below which the checkpoints are stored, in a folder of the run's name."""

    def content_digest(self) -> str:
        """Returns a digest of the settings that decide the result.

        Storage, tracking and the number and kind of machines are not among them.
        """
        defaults = TrainingSettings()
        return self.replace(
            **self._without_location(),
            tracking_uri=None,
            experiment="",
            num_workers=defaults.num_workers,
            max_failures=defaults.max_failures,
            use_gpu=defaults.use_gpu,
            compile=defaults.compile,
            cpus_per_worker=defaults.cpus_per_worker,
        ).digest()

    @abstractmethod
    def _without_location(self) -> dict[str, str]:
        """Empty values of the keys that name where the run is stored."""


class PretrainConfig(TrainingConfig):
    """Training a network on faces with known shape, with Ray Train."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {"val_share": FormerKey("val_fraction")}

    data: Uri
    """URI of a data set written by ``rayboot synthesize``."""
    output: Uri
    """Folder or URI of the weights (safetensors), the training record and the checkpoints."""
    name: str = "pretrain"
    """Name of the run; the same output and name again resume it."""
    network: Literal["vrn", "unet", "head"] = "vrn"
    """Kind of network: the compact member of the VRN family, the volumetric U-Net, or the regressor
    of the parametric head."""
    initial_model: ModelName | None = None
    """Model whose weights training starts from: a weights file, a ``builtin:`` name or
    ``models:/NAME/VERSION``. It must have the sizes of ``network``. None starts from random
    weights."""
    val_fraction: float = Field(0.1, gt=0, lt=1)
    """Fraction of the identities that is used for validation."""

    @property
    def checkpoint_uri(self) -> str:
        """Folder or URI below which the checkpoints are stored."""
        return self.output

    def _without_location(self) -> dict[str, str]:
        return {"output": ""}


class FinetuneSettings(TrainingSettings):
    """Settings of a fine-tuning that do not depend on its data."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {
        "source_share": FormerKey("source_fraction"),
        "leave_out": FormerKey("discard_fraction"),
    }

    source_fraction: float = Field(0.0, ge=0, lt=1)
    """Fraction of the samples that are unrotated photos with their own predictions."""
    distillation: float = Field(0.0, ge=0)
    """Weight of unrotated photos whose target is the soft prediction of the network before
    training (learning without forgetting). ``source_fraction`` sets their number. 0 treats them
    as any other sample."""
    discard_fraction: float = Field(0.0, ge=0, lt=1)
    """Fraction of the views that is not used: those on which the network, before training, agrees
    least with the transformed shape."""
    agreement_power: float = Field(0.0, ge=0)
    """Views are weighted by their agreement (intersection over union) to this power; 0 weighs all
    alike."""


class FinetuneConfig(FinetuneSettings, TrainingConfig):
    """Fine-tuning a network on a pairs data set, with Ray Train."""

    data: Uri
    """URI of a pairs data set written by ``rayboot generate``."""
    model: ModelName
    """Model to start from: a weights file, ``builtin:compact`` or ``models:/NAME/VERSION``."""
    manifest: str | None = None
    """Digest of the manifest of ``data`` to train on, as the registry records it; None is the
    current one when the training begins."""
    storage: Uri = "runs"
    """Local folder or URI of the checkpoints."""
    name: str = "finetune"
    """Name of the run; the same name again resumes it."""

    @property
    def checkpoint_uri(self) -> str:
        """Folder or URI below which the checkpoints are stored."""
        return self.storage

    def _without_location(self) -> dict[str, str]:
        return {"storage": ""}
