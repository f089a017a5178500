"""What decides a generate run, and the pools that carry it."""

from typing import Literal

from pydantic import Field

from rayboot.config import FrozenConfig
from rayboot.geometry.views import ViewConfig
from rayboot.models.network_config import InferenceConfig
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.render.backplane import BackplaneMode
from rayboot.render.egl_device import DeviceKind
from rayboot.render.texturing import ColorMode
from rayboot.render.visibility import cell_size

__all__ = ["GenerateConfig", "PoolConfig", "SelectionConfig"]


class SelectionConfig(FrozenConfig):
    """Which faces are near enough to frontal for the network to be trusted."""

    max_yaw_deg: float = Field(20.0, gt=0, le=90)
    max_pitch_deg: float = Field(30.0, gt=0, le=90)
    min_confidence: float = Field(0.2, ge=0, le=1)
    """Of the estimated pose; below it the axes are not to be trusted."""
    detect_faces: bool = True
    """Look for a face in photos without landmarks (extra ``detect``); otherwise
    such photos are rejects."""


class PoolConfig(FrozenConfig):
    """Actors, and what each takes; declared, never probed from the driver."""

    num_reconstruct_actors: int = Field(1, ge=1)
    reconstruct_cpus: float = Field(0.9, gt=0)
    reconstruct_gpus: float = Field(0.0, ge=0)
    num_render_actors: int = Field(1, ge=1)
    """No more than there are cores: a software renderer gains nothing from it."""
    render_cpus: float = Field(0.9, gt=0)
    render_gpus: float = Field(0.0, ge=0)
    """Share of a GPU that Ray gives each renderer, which then draws there; where there are
    several GPUs and this is 0, renderers take turns on them."""
    render_on: DeviceKind = "auto"
    """``auto``: on a GPU where EGL knows one, else on the processor."""
    num_readers: int = Field(2, ge=1)
    """Processes that fetch, decode and crop photos, and look for faces."""
    reader_cpus: float = Field(0.1, gt=0)
    """Below one, since pools that take every CPU would leave the reader none."""
    seconds_a_photo: float = Field(60.0, gt=0)
    """A photo that keeps a reader or a renderer longer becomes a reject."""
    batch_size: int = Field(16, ge=1)
    """Photos that the network takes at once, and rows between stages."""

    def bundles(self) -> list[dict[str, float]]:
        """What each of the actors takes, those with GPUs first."""
        network = {"CPU": self.reconstruct_cpus, "GPU": self.reconstruct_gpus}
        renderer = {"CPU": self.render_cpus, "GPU": self.render_gpus}
        actors = [network] * self.num_reconstruct_actors + [renderer] * self.num_render_actors
        actors += [{"CPU": self.reader_cpus}] * self.num_readers
        return [{kind: share for kind, share in actor.items() if share} for actor in actors]

    def total_cpus(self) -> float:
        """What the actors take together."""
        return sum(actor["CPU"] for actor in self.bundles())


class GenerateConfig(FrozenConfig):
    """Photographs to bootstrap pairs."""

    input: str | tuple[str, ...] | None = None
    """URI of the photos, or several: their names then come first in every ``face_id``.
    ``--input`` overrides it."""
    frame_step: int = Field(1, ge=1)
    """Of LS3D-W's videos every so many-th frame takes part: neighbours are nearly the same."""
    output: str | None = None
    """URI of the pairs data set; ``--output`` overrides it."""
    model: str = BUILTIN_COMPACT
    """The network: a weights file, ``builtin:compact`` or ``models:/NAME/VERSION``."""
    tracking_uri: str | None = None
    """Of the registry that a ``models:/`` name is looked up in; None is MLflow's own setting."""
    inference: InferenceConfig = InferenceConfig()
    isovalue: float = Field(0.5, gt=0, lt=1)
    mesh: Literal["thinned", "full"] = "thinned"
    """``thinned``: what is drawn has about 96 cubes across the crop, in depth as well, and the
    photo as its texture; ``full``: every voxel of the volume, several times slower."""
    views: ViewConfig = ViewConfig()
    selection: SelectionConfig = SelectionConfig()
    colors: ColorMode = "mirrored"
    backplane: BackplaneMode = "filled"
    relighting: float = Field(0.0, ge=0, le=0.9)
    """Share of each view's light that comes from a direction drawn for it; 0 leaves the
    photo's own. The paper names it as future work."""
    max_clipped: float = Field(0.05, ge=0, le=1)
    """A view that puts a larger share of its target outside the volume is left out."""
    image_format: Literal["jpeg", "png"] = "jpeg"
    val_share: float = Field(0.1, gt=0, lt=1)
    """Share of the groups (videos, persons) in the validation split."""
    seed: int = 0
    round_index: int = Field(0, ge=0)
    pools: PoolConfig = PoolConfig()

    def cell_px(self, size: int) -> int:
        """Edge of the cubes that the surface of a crop of ``size`` px is drawn on; 0: voxels."""
        return cell_size(size) if self.mesh == "thinned" else 0

    def content_digest(self) -> str:
        """Digest of what decides the rows: not where they lie, nor how many actors made them.

        Of the model its content counts, which the manifest keeps as ``model_digest``.
        """
        # What arithmetic depends on: the photos that go together, and who draws.
        pools = {"batch_size": self.pools.batch_size, "render_on": self.pools.render_on}
        changes = {"input": None, "output": None, "model": "", "tracking_uri": None}
        return self.replace(**changes, pools=pools).digest()
