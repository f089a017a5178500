"""Commands that use registered models, and that show and change their history."""

import os
from pathlib import Path
from typing import Literal

import click

from rayboot.cli.help import example
from rayboot.cli.live_text import LiveText
from rayboot.cli.messages import print_changes, print_note, print_unread
from rayboot.cli.options import (
    URI,
    input_option,
    optional_config,
    prune_option,
    single_or_tuple,
    tracking_option,
)
from rayboot.counts import describe_count
from rayboot.registry.model_names import BUILTIN, BUILTIN_BASE

__all__ = ["export_onnx", "import_weights", "reconstruct", "rollback", "status", "trace"]


@click.command(epilog=example("rayboot status runs --watch"))
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"))
@click.option("--watch", is_flag=True, help="Show them again and again until none is unfinished.")
@tracking_option
def status(folder: Path, watch: bool, tracking_uri: str | None) -> None:
    """Show the rounds below FOLDER, by default runs, and the champion.

    Where the output is no terminal, --watch prints the lines that change.
    """
    from rayboot.rounds.status import describe_registry, describe_rounds, watch_rounds

    if watch:
        display = LiveText()
        for text in watch_rounds(folder, with_elapsed=display.is_terminal):
            display.show(text)
    else:
        click.echo(describe_rounds(folder))
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    tracking_uri = tracking_uri or next(filter(None, map(os.environ.get, names)), None)
    if tracking_uri is not None:
        click.echo(describe_registry(tracking_uri))


@click.command(epilog=example("rayboot rollback --model rayboot-vrn"))
@click.option("--model", "name", default="rayboot-vrn", metavar="NAME", help="Name of the model.")
@tracking_option
def rollback(name: str, tracking_uri: str | None) -> None:
    """Make the previous champion the champion again."""
    from rayboot.registry.promotion import roll_back
    from rayboot.registry.runs import default_tracking_uri

    done = roll_back(tracking_uri or default_tracking_uri(), name)
    click.echo(f"models:/{name}/{done.champion} is the champion again, instead of {done.former}")


@click.command(epilog=example("rayboot trace anna/001.jpg --data runs/pairs"))
@click.argument("target", type=URI, metavar="FACE_ID|MODEL")
@click.option(
    "--data",
    multiple=True,
    type=URI,
    show_default="those of the registered versions",
    help="A further data set to search; may be given several times.",
)
@tracking_option
def trace(target: str, data: tuple[str, ...], tracking_uri: str | None) -> None:
    """Find the data sets and models that used a photo, or show what a model was made from.

    The photo is given by its FACE_ID, the model as models:/NAME/VERSION or models:/NAME@ALIAS.
    """
    from rayboot.registry.model_versions import find_version
    from rayboot.registry.runs import default_tracking_uri
    from rayboot.rounds.provenance import describe_version
    from rayboot.rounds.trace import format_trace, trace_face

    tracking_uri = tracking_uri or default_tracking_uri()
    if target.startswith("models:/"):
        click.echo(describe_version(find_version(tracking_uri, target)))
    else:
        click.echo(format_trace(target, trace_face(tracking_uri, target, data)))


@click.command(epilog=example("rayboot reconstruct --input photo.jpg --output meshes"))
@click.option(
    "--model",
    default=BUILTIN_BASE,
    metavar="M",
    help=f"A model of the package ({', '.join(BUILTIN)}), a weights file, or models:/NAME@ALIAS.",
)
@input_option(
    "A photo, or a folder or archive of photos; may be given several times.", required=True
)
@click.option("--output", "output_uri", required=True, type=URI, help="Where to write meshes.")
@click.option(
    "--faces",
    type=click.Choice(["largest", "all"]),
    default="largest",
    help="Which faces of a photo become meshes; the files of all are numbered.",
)
@click.option(
    "--unit",
    type=click.Choice(["metre", "pixel"]),
    show_default="the config's, else metre",
    help="Unit of the meshes; metres are by the size of people on average.",
)
@click.option(
    "--format",
    "kinds",
    type=click.Choice(["ply", "glb", "obj"]),
    multiple=True,
    show_default="the config's, else ply and glb",
    help="File format of the meshes; may be given several times. OBJ has the photo as texture.",
)
@prune_option
@optional_config("YAML of actor pools and file formats.")
def reconstruct(
    model: str,
    inputs: tuple[str, ...],
    output_uri: str,
    faces: Literal["largest", "all"],
    unit: Literal["metre", "pixel"] | None,
    kinds: tuple[Literal["ply", "glb", "obj"], ...],
    prune: bool,
    config_path: Path | None,
) -> None:
    """Reconstruct coloured meshes from photos; the same command resumes."""
    from rayboot.cli.task_config import load_task_config
    from rayboot.pipeline.export_meshes import export_on_this_machine
    from rayboot.pipeline.export_request import ReconstructConfig, prepare_export
    from rayboot.pipeline.outcome import require_faces
    from rayboot.pipeline.unused_landmarks import describe_unused_landmarks

    config = None if config_path is None else load_task_config(ReconstructConfig, config_path)
    if unit is not None:
        config = (config or ReconstructConfig()).replace(unit=unit)
    if kinds:
        config = (config or ReconstructConfig()).replace(kinds=kinds)
    photos = single_or_tuple(inputs)
    plan = prepare_export(model, photos, output_uri, config, faces=faces, prune=prune)
    print_changes(plan.changes)
    summary = export_on_this_machine(plan)
    if plan.is_resumed:  # its listing may be older than the input
        plan = prepare_export(model, photos, output_uri, config, faces=faces)
        print_changes(plan.changes)
        summary = export_on_this_machine(plan)
    print_note(describe_count(summary.num_meshes, "mesh"))
    if summary.num_of_several:
        remark = ", of whom the largest is reconstructed (--faces all for each)"
        print_note(
            f"{summary.num_of_several} of them from photos of several people"
            f"{remark if faces == 'largest' else ''}; see the column face of index.parquet"
        )
    if summary.unused_landmarks:
        print_note(describe_unused_landmarks(summary.unused_landmarks))
    for (stage, reason), count in sorted(summary.rejects.items()):
        print_note(f"{count} rejected: {stage}, {reason}")
    print_unread(plan.unread)
    require_faces(summary.num_meshes, summary.rejects, f"{output_uri.rstrip('/')}/index.parquet")
    click.echo(output_uri)


@click.command(
    "import-weights",
    epilog=example("rayboot import-weights vrn-unguided.t7 vrn-unguided.safetensors"),
)
@click.argument("src", type=click.Path(path_type=Path))
@click.argument("dst", type=click.Path(path_type=Path))
def import_weights(src: Path, dst: Path) -> None:
    """Convert the released weights SRC (.t7 or .pth) to safetensors, in the file DST."""
    from rayboot.models.weights import import_weights

    import_weights(src, dst)
    click.echo(dst)


@click.command(
    "export-onnx", epilog=example("rayboot export-onnx --model builtin:base --output base.onnx")
)
@click.option(
    "--model",
    default=BUILTIN_BASE,
    metavar="M",
    help=f"A model of the package ({', '.join(BUILTIN)}), a weights file, or models:/NAME@ALIAS.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write; its name ends in .onnx.",
)
@click.option(
    "--register",
    is_flag=True,
    help="Also store the file as an artifact of the registered version that --model names.",
)
@tracking_option
def export_onnx(model: str, output: Path, register: bool, tracking_uri: str | None) -> None:
    """Export a network as ONNX, and check it against PyTorch with ONNX Runtime."""
    from rayboot.registry.onnx_file import register_onnx, write_onnx

    if register:
        difference, uri = register_onnx(model, output, tracking_uri)
        print_note(f"stored as {uri}")
    else:
        difference = write_onnx(model, output, tracking_uri)
    print_note(
        f"with ONNX Runtime the surface differs by up to {difference.surface_px:.2g} px of the crop"
    )
    click.echo(output)
