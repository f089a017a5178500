"""From photos to a pairs data set: crop, predict, turn and render, each photo in one row."""

from collections.abc import Sequence
from functools import partial

from rayboot.data.manifest import Manifest, read_manifest, write_manifest
from rayboot.errors import RaybootError
from rayboot.io.parquet import read_table
from rayboot.io.storage import exists, join_uri
from rayboot.pipeline.blocks import rows_per_block
from rayboot.pipeline.generate_request import GeneratePlan
from rayboot.pipeline.generate_summary import (
    GenerateSummary,
    count_finished_photos,
    list_row_files,
    summarize,
)
from rayboot.pipeline.graph import StageSpec, crop_stage, predict_stage
from rayboot.pipeline.isolation import SubprocessSpec
from rayboot.pipeline.listing import build_hash_index
from rayboot.pipeline.output_change import finish_change
from rayboot.pipeline.output_layout import TEST_HASHES, TEST_PHOTOS
from rayboot.pipeline.runner import Executor, Job, run_job
from rayboot.pipeline.stages.render_views import RenderViews, reject_render

__all__ = ["GenerateJob", "generate", "generate_stages"]


def generate(plan: GeneratePlan, executor: Executor | None = None) -> GenerateSummary:
    """Makes, or finishes, the pairs data set.

    Args:
        plan: The request, from :func:`~rayboot.pipeline.generate_request.prepare_generate`.
        executor: What executes the stages; None is Ray, which must be initialised.

    Raises:
        BusyError: Another run writes to the same output.
        StoreError: The object store stayed unavailable; finished photos are kept.
        DiskFullError, ClusterError: Likewise.
    """
    summary, stats = run_job(GenerateJob(plan), executor)
    return summary._replace(stages=stats.usage, seconds=stats.seconds)


class GenerateJob(Job[GenerateSummary]):
    """Photos to rows of :data:`rayboot.data.schema.PAIRS_SCHEMA`."""

    name = "generate"
    write_options = {"partition_cols": ["outcome"]}  # noqa: RUF012 - never changed

    def __init__(self, plan: GeneratePlan) -> None:
        self._plan = plan
        self.output, self.run_id, self.num_photos = plan.output, plan.run_id, plan.num_photos
        pools = plan.config.pools
        self.rows_per_block = rows_per_block(plan.num_photos, pools, plan.volume_shape())
        self.reader_cpus = pools.reader_cpus

    def stages(self) -> Sequence[StageSpec]:
        """Crop, predict, render."""
        return generate_stages(self._plan, self._index_test_photos())

    def recover(self) -> None:
        """Completes a change of the rows that was interrupted."""
        finish_change(self.output)

    def is_complete(self) -> bool:
        """Whether the current manifest is written, and describes every listed photo."""
        manifest = read_manifest(self.output)
        if manifest is None:
            return False
        num_rows = manifest.counts.get("faces", 0) + manifest.counts.get("rejects", 0)
        return num_rows == self.num_photos

    def count_finished(self) -> int:
        """Number of faces and rejects that are written."""
        return count_finished_photos(self.output)

    def complete(self) -> None:
        """Writes the manifest.

        Raises:
            RaybootError: Faces and rejects are not as many as the listed photos.
        """
        summary = summarize(self.output)
        num_rejects = sum(summary.rejects.values())
        if summary.num_faces + num_rejects != self.num_photos:
            raise RaybootError(
                f"{self.output}: {self.num_photos} photos were listed, but {summary.num_faces} "
                f"faces and {num_rejects} rejects were written; run the same command again"
            )
        counts = {
            "faces": summary.num_faces,
            "views": summary.num_views,
            "views_left_out": summary.num_views_left_out,
            "rejects": num_rejects,
            **self._plan.left_out,
            **{f"unused_landmarks/{why}": n for why, n in sorted(summary.unused_landmarks.items())},
            **{f"reject/{stage}/{why}": n for (stage, why), n in sorted(summary.rejects.items())},
        }
        config = self._plan.config.model_dump(mode="json")
        stamp = {**self._plan.stamp, "run_id": self.run_id}
        manifest = Manifest(config=config, counts=counts, **stamp)
        write_manifest(self.output, manifest, list_row_files(self.output))

    def summarize(self) -> GenerateSummary:
        """Counts of faces, views and rejects."""
        return summarize(self.output)

    def _index_test_photos(self) -> str | None:
        """URI of the hashes of the photos kept for testing; None where there are none."""
        if not self._plan.left_out["test_photos_left_out"]:
            return None
        uri = join_uri(self.output, TEST_HASHES)
        if not exists(uri):
            build_hash_index(read_table(join_uri(self.output, TEST_PHOTOS))).save(uri)
        return uri


def generate_stages(plan: GeneratePlan, test_hashes: str | None = None) -> tuple[StageSpec, ...]:
    """The stages from listed photos to rows of :data:`rayboot.data.schema.PAIRS_SCHEMA`.

    Args:
        plan: The request.
        test_hashes: URI of the hashes of the photos kept for testing, none of which may take part
            under another name; None where there are none.
    """
    config, pools = plan.config, plan.config.pools
    render = partial(
        RenderViews,
        config=config,
        shape=plan.volume_shape(),
        model_version=plan.model_digest,
        config_digest=plan.stamp["config_digest"],
    )
    return (
        crop_stage(
            plan.network, pools, config.selection, config.selection.detect_faces, test_hashes
        ),
        predict_stage(
            plan.weights,
            config.inference,
            pools,
            config.isovalue,
            config.cell_px(plan.network.resolution),
        ),
        StageSpec(
            "turn",
            SubprocessSpec.create(render, reject_render, pools.photo_timeout_s),
            pools.batch_size,
            pools.num_render_actors,
            pools.render_cpus,
            pools.render_gpus,
        ),
    )
