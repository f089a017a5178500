"""Commands that make data sets: synthetic faces, packed photos, pairs."""

from pathlib import Path
from typing import Literal

import click

from rayboot.cli.help import example
from rayboot.cli.messages import print_changes, print_note, print_unread
from rayboot.cli.options import (
    COUNTS,
    URI,
    config_option,
    input_option,
    optional_config,
    prune_option,
    single_or_tuple,
)
from rayboot.counts import describe_count
from rayboot.errors import REJECT_STAGES

__all__ = ["export_pairs", "generate", "pack", "plan", "preview", "synthesize"]


@click.command(
    epilog=example("rayboot synthesize --config synthesize-test --output data/test-faces")
)
@config_option
@click.option(
    "--output",
    "output_uri",
    required=True,
    type=URI,
    help="Where to write the data set.",
)
def synthesize(config_path: Path, output_uri: str) -> None:
    """Synthesise faces with known 3D shape; the same command resumes."""
    from rayboot.cli.task_config import load_task_config
    from rayboot.pipeline.synthesize import prepare_synthesis, run_synthesis
    from rayboot.synthesis import SynthesisConfig

    run_synthesis(prepare_synthesis(load_task_config(SynthesisConfig, config_path), output_uri))
    click.echo(output_uri)


@click.command(epilog=example("rayboot pack --input photos/ --output packed/"))
@input_option(required=True)
@click.option(
    "--output",
    "output_uri",
    required=True,
    type=URI,
    help="Where to write the packed photos.",
)
@prune_option
def pack(inputs: tuple[str, ...], output_uri: str, prune: bool) -> None:
    """Pack photos into few large files, which are listed and read far faster.

    The same command resumes, and adds photos that are new.
    """
    from rayboot.cluster.session import connect
    from rayboot.pipeline.pack import pack, prepare_pack

    plan = prepare_pack(single_or_tuple(inputs), output_uri, prune=prune)
    print_changes(plan.changes)
    with connect():
        count = pack(plan)
        if plan.is_resumed:  # its listing may be older than the input
            plan = prepare_pack(single_or_tuple(inputs), output_uri)
            print_changes(plan.changes)
            count = pack(plan)
    print_note(describe_count(count, "photo"))
    print_unread(plan.unread)
    click.echo(output_uri)


@click.command(
    epilog=example("rayboot plan --config generate-bucket --input s3://photos/packed --nodes 4")
)
@config_option
@input_option()
@click.option(
    "--nodes",
    type=click.IntRange(1),
    metavar="N",
    show_default="estimates for 1 to 64 nodes",
    help="Print the actor pools for N nodes.",
)
@click.option(
    "--photos",
    "sizes",
    type=COUNTS,
    default="200000,1000000,10000000,100000000",
    help="Numbers of photos to print estimates for, with the sample's properties.",
)
def plan(
    config_path: Path, inputs: tuple[str, ...], nodes: int | None, sizes: tuple[int, ...]
) -> None:
    """Measure a sample; estimate bytes, and the time on 1 to 64 nodes, for the whole input."""
    import yaml

    from rayboot.cli.task_config import load_task_config
    from rayboot.pipeline.generate_config import GenerateConfig
    from rayboot.pipeline.planning.calibration import calibrate_input
    from rayboot.pipeline.planning.scaling import estimate, format_estimates, format_scaling
    from rayboot.pipeline.planning.storage import format_storage

    config = load_task_config(GenerateConfig, config_path)
    config = config.replace(input=single_or_tuple(inputs)) if inputs else config
    size = calibrate_input(config)
    node_counts = (1, 2, 4, 8, 16, 32, 64) if nodes is None else (nodes,)
    rows = estimate(size.calibration, size.photos, size.node, node_counts, config.pools)
    table = format_estimates(size.calibration, size.node, rows)
    click.echo(f"{describe_count(size.photos.num_photos, 'photo')}; {table}")
    if (storage := size.calibration.storage) is not None:
        click.echo(f"\n{format_storage(storage, size.photos.num_photos)}")
    if nodes is not None:
        pools = rows[0].capacity.pools
        changes = {"pools": pools.model_dump(mode="json", exclude_defaults=True)}
        click.echo(yaml.safe_dump(changes, sort_keys=False), nl=False)
        return
    scaled = format_scaling(
        size.calibration, size.photos, size.node, node_counts, config.pools, sizes
    )
    click.echo(f"\n{scaled}")


@click.command(
    epilog=example("rayboot generate --config generate-laptop --input photos/ --output pairs")
)
@config_option
@input_option()
@click.option(
    "--output",
    "output_uri",
    type=URI,
    show_default="the config's",
    help="Where to write the pairs data set.",
)
@click.option(
    "--retry-rejects",
    "retried_stage",
    type=click.Choice(REJECT_STAGES),
    metavar="STAGE",
    show_default="none",
    help=f"Process the photos again that this stage rejected: {', '.join(REJECT_STAGES)}.",
)
@prune_option
def generate(
    config_path: Path,
    inputs: tuple[str, ...],
    output_uri: str | None,
    retried_stage: str | None,
    prune: bool,
) -> None:
    """Generate bootstrap pairs; the same command resumes, and adds photos that are new."""
    from rayboot.cli.task_config import load_task_config
    from rayboot.cluster.session import connect
    from rayboot.logs import logged_run
    from rayboot.pipeline.generate import generate
    from rayboot.pipeline.generate_config import GenerateConfig
    from rayboot.pipeline.generate_request import prepare_generate
    from rayboot.pipeline.generate_summary import format_summary
    from rayboot.pipeline.outcome import require_faces
    from rayboot.pipeline.retry_rejects import remove_rejects

    config = load_task_config(GenerateConfig, config_path)
    changes = {"input": single_or_tuple(inputs), "output": output_uri}
    config = config.replace(**{key: uri for key, uri in changes.items() if uri})
    plan = prepare_generate(config, prune=prune)
    print_changes(plan.changes)
    if retried_stage is not None:
        count = remove_rejects(plan.output, retried_stage)
        photos = describe_count(count, "photo")
        print_note(f"{photos} that stage {retried_stage} rejected will be processed again")
    with logged_run(plan.run_id), connect():
        summary = generate(plan)
        if plan.is_resumed:  # its listing may be older than the input
            plan = prepare_generate(config)
            print_changes(plan.changes)
            summary = generate(plan)
        print_note(format_summary(summary))
        print_unread(plan.unread)
    require_faces(summary.num_faces, summary.rejects, f"{summary.uri.rstrip('/')}/outcome=reject")
    click.echo(config.output)


@click.command(epilog=example("rayboot preview pairs --out pairs.html"))
@click.argument("uri", type=URI)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write: .html is a page, .png and .jpg are a contact sheet.",
)
@optional_config(
    "If URI contains photos: config of generate to preview on a few of them.",
    default="URI contains pairs",
)
def preview(uri: str, out: Path, config_path: Path | None) -> None:
    """Show a pairs data set, or what a config would make of photos, as a page or an image."""
    from rayboot.cli.task_config import load_task_config
    from rayboot.pipeline.generate_config import GenerateConfig
    from rayboot.pipeline.preview import preview_photos, write_preview

    if config_path is None:
        click.echo(write_preview(uri, out))
    else:
        click.echo(preview_photos(load_task_config(GenerateConfig, config_path), uri, out))


@click.command("export-pairs", epilog=example("rayboot export-pairs --input pairs --output shards"))
@click.option("--input", "input_uri", required=True, type=URI, help="A finished pairs data set.")
@click.option("--output", "output_uri", required=True, type=URI, help="Where to write the shards.")
@click.option(
    "--format",
    "shard_format",
    type=click.Choice(["webdataset"]),
    default="webdataset",
    metavar="FORMAT",
    help="webdataset: tar files that the package webdataset, and any tar reader, can read.",
)
@click.option(
    "--target",
    type=click.Choice(["occupancy", "soft_occupancy", "surface_depth", "head", "none"]),
    default="occupancy",
    metavar="KIND",
    help="Target of each view: occupancy, soft_occupancy, surface_depth, head or none.",
)
@click.option("--include-source", is_flag=True, help="Export the unrotated photos as well.")
def export_pairs(
    input_uri: str,
    output_uri: str,
    shard_format: str,
    target: Literal["occupancy", "soft_occupancy", "surface_depth", "head", "none"],
    include_source: bool,
) -> None:
    """Export pairs for other training loops; the same command resumes."""
    from rayboot.data.pair_shards import export_pairs

    summary = export_pairs(input_uri, output_uri, target, include_source=include_source)
    counts = ", ".join(f"{count} {split}" for split, count in summary.num_samples.items())
    print_note(f"{counts} samples in {summary.num_shards} shards, {summary.num_bytes / 1e6:.1f} MB")
    click.echo(output_uri)
