"""What decides a generate run, and the pools that carry it."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from rayboot.config import FormerKey, FrozenConfig
from rayboot.geometry.views import ViewConfig
from rayboot.models.network_config import InferenceConfig
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.render.backplane import SurroundingsMode
from rayboot.render.egl_device import DeviceKind
from rayboot.render.texturing import ColorMode
from rayboot.render.visibility import cell_size

__all__ = ["GenerateConfig", "PoolConfig", "RenderConfig", "SelectionConfig"]


class SelectionConfig(FrozenConfig):
    """Which faces are near enough to frontal for the network to be trusted."""

    max_yaw_deg: float = Field(20.0, gt=0, le=90)
    max_pitch_deg: float = Field(30.0, gt=0, le=90)
    min_confidence: float = Field(0.2, ge=0, le=1)
    """Of the estimated pose; below it the axes are not to be trusted."""
    detect_faces: bool = True
    """Look for a face in photos without landmarks (extra ``detect``); otherwise
    such photos are rejects."""


class RenderConfig(FrozenConfig):
    """How the views of a face are rendered."""

    surface_grid: Literal["coarse", "full"] = "coarse"
    """Grid of the surface that is rendered. ``coarse``: about 96 cells across the crop, in depth
    as well, with the photo as texture; ``full``: every voxel of the volume, several times slower."""
    colors: ColorMode = "mirrored"
    """Colours of what the camera did not see. ``mirrored``: those of the mirror image;
    ``projected``: the pixel that the vertex projects to, as in the paper."""
    surroundings: SurroundingsMode = "plane"
    """What is rendered behind the face. ``plane``: the photo on the backplane, the face inpainted
    and the photo's borders extended; ``photo``: the unchanged photo on the backplane, as in the
    paper; ``none``: nothing."""
    relighting: float = Field(0.0, ge=0, le=0.9)
    """Fraction of each view's light that comes from a randomly drawn direction; 0 keeps the
    photo's own light. The paper names relighting as future work."""
    image_format: Literal["jpeg", "png"] = "jpeg"
    """Encoding of the stored images."""


class PoolConfig(FrozenConfig):
    """Actors, and what each takes; declared, never probed from the driver."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {
        "render_on": FormerKey("render_device"),
        "seconds_a_photo": FormerKey("photo_timeout_s"),
    }

    num_reconstruct_actors: int = Field(1, ge=1)
    reconstruct_cpus: float = Field(0.9, gt=0)
    reconstruct_gpus: float = Field(0.0, ge=0)
    num_render_actors: int = Field(1, ge=1)
    """No more than there are cores: a software renderer gains nothing from it."""
    render_cpus: float = Field(0.9, gt=0)
    render_gpus: float = Field(0.0, ge=0)
    """Share of a GPU that Ray gives each renderer, which then draws there; where there are
    several GPUs and this is 0, renderers take turns on them."""
    render_device: DeviceKind = "auto"
    """``auto``: on a GPU where EGL knows one, else on the processor."""
    num_readers: int = Field(2, ge=1)
    """Processes that fetch, decode and crop photos, and look for faces."""
    reader_cpus: float = Field(0.1, gt=0)
    """Below one, since pools that take every CPU would leave the reader none."""
    photo_timeout_s: float = Field(60.0, gt=0)
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

    former_keys: ClassVar[Mapping[str, FormerKey]] = {
        "mesh": FormerKey("render.surface_grid", {"thinned": "coarse"}),
        "colors": FormerKey("render.colors"),
        "backplane": FormerKey("render.surroundings", {"filled": "plane"}),
        "relighting": FormerKey("render.relighting"),
        "image_format": FormerKey("render.image_format"),
        "val_share": FormerKey("val_fraction"),
    }

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
    views: ViewConfig = ViewConfig()
    selection: SelectionConfig = SelectionConfig()
    render: RenderConfig = RenderConfig()
    max_clipped: float = Field(0.05, ge=0, le=1)
    """A view that puts a larger share of its target outside the volume is left out."""
    val_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the groups (videos, persons) in the validation split."""
    seed: int = 0
    round_index: int = Field(0, ge=0)
    pools: PoolConfig = PoolConfig()

    def cell_px(self, size: int) -> int:
        """Edge of the cubes that the surface of a crop of ``size`` px is drawn on; 0: voxels."""
        return cell_size(size) if self.render.surface_grid == "coarse" else 0

    def content_digest(self) -> str:
        """Digest of what decides the rows: not where they lie, nor how many actors made them.

        Of the model its content counts, which the manifest keeps as ``model_digest``.
        """
        # What arithmetic depends on: the photos that go together, and who draws.
        pools = {"batch_size": self.pools.batch_size, "render_device": self.pools.render_device}
        changes = {"input": None, "output": None, "model": "", "tracking_uri": None}
        return self.replace(**changes, pools=pools).digest()
