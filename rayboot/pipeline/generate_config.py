"""Config of a generate run, and of the actor pools that run it."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from rayboot.config import FormerKey, FrozenConfig, ModelName, Uri
from rayboot.geometry.views import ViewConfig
from rayboot.models.network_config import InferenceConfig
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.render.egl_device import DeviceKind
from rayboot.render.surroundings import SurroundingsMode
from rayboot.render.texturing import ColorMode
from rayboot.render.visibility import cell_size

__all__ = ["GenerateConfig", "PoolConfig", "RenderConfig", "SelectionConfig"]


class SelectionConfig(FrozenConfig):
    """Limits of a near-frontal face; beyond them the reconstruction is not accurate enough."""

    max_yaw_deg: float = Field(20.0, gt=0, le=90)
    """Largest yaw to either side."""
    max_pitch_deg: float = Field(30.0, gt=0, le=90)
    """Largest pitch, up or down."""
    min_confidence: float = Field(0.4, ge=0, le=1)
    """Lower limit on the confidence of the estimated pose; below it the axes are unreliable."""
    detect_faces: bool = True
    """Whether a face is detected in photos without landmarks; otherwise such photos become
    rejects."""


class RenderConfig(FrozenConfig):
    """How the views of a face are rendered."""

    surface_grid: Literal["coarse", "full"] = "coarse"
    """Grid of the surface that is rendered. ``coarse``: about 96 cells across the crop, and as many
    in depth, with the photo as texture; ``full``: every voxel of the volume, several times
    slower."""
    colors: ColorMode = "mirrored"
    """Colours of vertices that the camera does not see. ``mirrored``: those of the mirror image;
    ``projected``: the pixel that the vertex projects to, as in the paper."""
    surroundings: SurroundingsMode = "sheet"
    """What is rendered around the face. ``sheet``: the photo on a surface that continues the face
    to a whole head with neck and shoulders; ``plane``: the photo on the backplane, the face
    inpainted and the photo's borders extended; ``photo``: the unchanged photo on the backplane,
    as in the paper; ``none``: nothing."""
    relighting: float = Field(0.0, ge=0, le=0.9)
    """Fraction of each view's light that comes from a randomly drawn direction; 0 keeps the
    photo's own light. The paper names relighting as future work."""
    image_format: Literal["jpeg", "png"] = "jpeg"
    """Encoding of the stored images."""


class PoolConfig(FrozenConfig):
    """Numbers of actors and the resources of each; declared, never probed from the driver."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {
        "render_on": FormerKey("render_device"),
        "seconds_a_photo": FormerKey("photo_timeout_s"),
    }

    num_reconstruct_actors: int = Field(1, ge=1)
    """Number of actors that run the network; each holds one."""
    reconstruct_cpus: float = Field(0.9, gt=0)
    """CPUs that Ray reserves for each network."""
    reconstruct_gpus: float = Field(0.0, ge=0)
    """Fraction of a GPU that Ray reserves for each network; 0 runs it on the processor."""
    num_render_actors: int = Field(1, ge=1)
    """Number of renderers; at most the number of cores, since a software renderer gains nothing
    from more."""
    render_cpus: float = Field(0.9, gt=0)
    """CPUs that Ray reserves for each renderer."""
    render_gpus: float = Field(0.0, ge=0)
    """Fraction of a GPU that Ray reserves for each renderer, which then renders there; where
    there are several GPUs and this is 0, renderers are distributed over them in turn."""
    render_device: DeviceKind = "auto"
    """Device that renders. ``auto``: a GPU where one of this machine renders or ``render_gpus`` is
    set, else the processor; decided once for a run."""
    num_readers: int = Field(2, ge=1)
    """Number of processes that fetch, decode and crop photos, and detect faces."""
    reader_cpus: float = Field(0.1, gt=0)
    """CPUs of each reader; below 1, since networks and renderers that reserve every CPU would leave
    none for reading."""
    photo_timeout_s: float = Field(60.0, gt=0)
    """Time limit for one photo in a reader or a renderer; beyond it the photo becomes a reject."""
    batch_size: int = Field(16, ge=1)
    """Number of photos in one forward pass of the network, and in one call of the other stages."""

    def bundles(self) -> list[dict[str, float]]:
        """Returns the resources of each actor: networks first, then renderers, then readers."""
        network = {"CPU": self.reconstruct_cpus, "GPU": self.reconstruct_gpus}
        renderer = {"CPU": self.render_cpus, "GPU": self.render_gpus}
        actors = [network] * self.num_reconstruct_actors + [renderer] * self.num_render_actors
        actors += [{"CPU": self.reader_cpus}] * self.num_readers
        return [{kind: amount for kind, amount in actor.items() if amount} for actor in actors]

    def total_cpus(self) -> float:
        """Returns the sum of the CPUs of all actors."""
        return sum(actor["CPU"] for actor in self.bundles())


class GenerateConfig(FrozenConfig):
    """Config of a run that generates bootstrap pairs from photos."""

    former_keys: ClassVar[Mapping[str, FormerKey]] = {
        "mesh": FormerKey("render.surface_grid", {"thinned": "coarse"}),
        "colors": FormerKey("render.colors"),
        "backplane": FormerKey("render.surroundings", {"filled": "plane"}),
        "relighting": FormerKey("render.relighting"),
        "image_format": FormerKey("render.image_format"),
        "val_share": FormerKey("val_fraction"),
    }

    input: Uri | tuple[Uri, ...] | None = None
    """URI of the photos, or several; each ``face_id`` then begins with the folder name of its URI.
    ``--input`` overrides it."""
    frame_step: int = Field(1, ge=1)
    """Step between the frames that are used of each LS3D-W video, since neighbouring frames are
    nearly the same; 1 uses all."""
    output: Uri | None = None
    """URI of the pairs data set; ``--output`` overrides it."""
    model: ModelName = BUILTIN_COMPACT
    """The network: a weights file, ``builtin:compact`` or ``models:/NAME/VERSION``."""
    tracking_uri: str | None = None
    """URI of the registry that resolves ``models:/`` names; None uses MLflow's own setting."""
    inference: InferenceConfig = InferenceConfig()
    """Settings of the network."""
    isovalue: float = Field(0.5, gt=0, lt=1)
    """Occupancy on the surface: voxels at or above it belong to the face."""
    views: ViewConfig = ViewConfig()
    """Rotations of each face."""
    selection: SelectionConfig = SelectionConfig()
    """Photos that are used: limits of a near-frontal face, and face detection."""
    render: RenderConfig = RenderConfig()
    """How the views are rendered."""
    max_clipped: float = Field(0.05, ge=0, le=1)
    """Upper limit on the fraction of a view's target outside the volume; a view beyond it is left
    out."""
    val_fraction: float = Field(0.1, gt=0, lt=1)
    """Fraction of the groups (videos, persons) in the validation split."""
    seed: int = 0
    """Seed of the split into training and validation, and of random lights."""
    round_index: int = Field(0, ge=0)
    """Number of the round, counted from 0; stored with the pairs, and part of their seeds."""
    pools: PoolConfig = PoolConfig()
    """Numbers of actors and their resources."""

    def cell_px(self, size: int) -> int:
        """Returns the edge length of the cells of the rendered surface's grid; 0 for voxels.

        Args:
            size: width and height of the crop, px.
        """
        return cell_size(size) if self.render.surface_grid == "coarse" else 0

    def content_digest(self) -> str:
        """Returns the digest of the settings that determine the rows.

        URIs and the number of actors are not among them. Nor is the model's name: its content
        counts, which the manifest records as ``model_digest``.
        """
        # The pool settings that affect arithmetic: photos of one batch, and the renderer.
        pools = {"batch_size": self.pools.batch_size, "render_device": self.pools.render_device}
        changes = {"input": None, "output": None, "model": "", "tracking_uri": None}
        return self.replace(**changes, pools=pools).digest()
