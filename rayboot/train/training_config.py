"""What decides a training run."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from rayboot.config import FormerKey, FrozenConfig

__all__ = [
    "AugmentConfig",
    "FinetuneConfig",
    "FinetuneSettings",
    "OptimizerConfig",
    "PretrainConfig",
]


class AugmentConfig(FrozenConfig):
    """How pictures are changed, each anew whenever it is seen; of all nothing by default."""

    flip: bool = False
    """Mirror a random half of the samples, image and shape alike."""
    color_jitter: float = Field(0.0, ge=0, lt=1)
    """Largest relative change of brightness, contrast and each channel."""
    light: float = Field(0.0, ge=0, lt=1)
    """Largest change of brightness from the middle to one side, which is drawn."""
    blur: float = Field(0.0, ge=0, le=0.05)
    """Largest standard deviation of a Gaussian, share of the picture's width."""
    noise: float = Field(0.0, ge=0, le=0.5)
    """Largest standard deviation, share of white."""
    occlusion: float = Field(0.0, ge=0, le=0.5)
    """Largest share of the picture that a plain rectangle hides, in every second picture."""


class OptimizerConfig(FrozenConfig):
    """Adam as the paper has it: batch 64, rate halved every 5 epochs, best epoch kept."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {
        "halve_every": FormerKey("lr_halving_epochs"),
        "average": FormerKey("ema_decay"),
    }

    batch_size: int = Field(64, ge=1)
    """Samples a step, over all workers."""
    learning_rate: float = Field(3e-4, gt=0)
    """Initial rate. The paper does not print its own."""
    num_epochs: int = Field(10, ge=1)
    lr_halving_epochs: int = Field(5, ge=1)
    """Epochs between halvings of the rate."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto``: bfloat16 where the processor computes in it, else float32."""
    augment: AugmentConfig = AugmentConfig()
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Weights are validated and kept as their moving average, of which each step keeps this
    share, 0.999 for one; 0 keeps the last step's own."""
    seed: int = 0
    """Of order and augmentation."""


class PretrainConfig(FrozenConfig):
    """Training a network from nothing on faces with known shape."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {"val_share": FormerKey("val_fraction")}

    data: str
    """URI of a set written by ``rayboot synthesize``."""
    output: str
    """Where the weights (safetensors) and the training record go: a local folder."""
    network: Literal["vrn", "head"] = "vrn"
    """The compact member of the VRN family, or the regressor of the parametric head."""
    val_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the identities held out for validation."""
    optimizer: OptimizerConfig = OptimizerConfig()


class FinetuneSettings(FrozenConfig):
    """How a network is fine-tuned on pairs, whichever they are."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {
        "source_share": FormerKey("source_fraction"),
        "leave_out": FormerKey("discard_fraction"),
    }

    source_fraction: float = Field(0.0, ge=0, lt=1)
    """Share of the samples that are unrotated photos with their own predictions."""
    distillation: float = Field(0.0, ge=0)
    """Weight of unrotated photos whose target is what the network said of them before, in
    shades instead of bits: learning without forgetting. They come in by ``source_fraction``. 0:
    they are samples like any other."""
    discard_fraction: float = Field(0.0, ge=0, lt=1)
    """Share of the views that take no part: those on which the network, before training,
    disagrees most with the turned shape."""
    agreement_power: float = Field(0.0, ge=0)
    """Views count as their agreement (intersection over union) to this power; 0: all alike."""
    checkpoint_steps: int = Field(500, ge=1)
    """Steps between checkpoints within an epoch: what a lost worker costs at most."""
    num_workers: PositiveInt | tuple[PositiveInt, PositiveInt] = 1
    """Of the run; two numbers are the fewest and the most, as machines come and go. On one number
    a run that was disturbed ends with the weights of one that was not."""
    max_failures: int = Field(8, ge=-1)
    """Workers or machines that may be lost before the run gives up; -1: any number."""
    use_gpu: bool = False
    compile: bool = False
    """Compile the network; on GPUs only, where it takes about a minute once."""
    cpus_per_worker: float = Field(1.0, gt=0)
    optimizer: OptimizerConfig = OptimizerConfig()


class FinetuneConfig(FinetuneSettings):
    """Fine-tuning a network on a pairs data set, with Ray Train."""

    data: str
    """URI of a pairs data set written by ``rayboot generate``."""
    model: str
    """Weights to start from: a file, ``builtin:compact`` or ``models:/NAME/VERSION``."""
    storage: str = "runs"
    """Where checkpoints of a run are kept: a local folder or a URI."""
    name: str = "finetune"
    """Of the run; the same name again resumes it."""
    tracking_uri: str | None = None
    """MLflow's; None is MLflow's own setting, ``MLFLOW_TRACKING_URI`` or a local SQLite."""
    experiment: str = "rayboot"

    def content_digest(self) -> str:
        """Digest of what decides the result: not where it is kept, nor on how many machines."""
        same = FinetuneSettings()
        return self.replace(
            storage="",
            tracking_uri=None,
            experiment="",
            num_workers=same.num_workers,
            max_failures=same.max_failures,
            use_gpu=same.use_gpu,
            compile=same.compile,
            cpus_per_worker=same.cpus_per_worker,
        ).digest()
