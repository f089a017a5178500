"""The command that serves a model over HTTP."""

from pathlib import Path

import click

from rayboot.cli.messages import print_note
from rayboot.cli.options import optional_config
from rayboot.registry.model_names import BUILTIN, BUILTIN_BASE

__all__ = ["serve"]


@click.command()
@click.option(
    "--model",
    metavar="M",
    help=f"A model of the package ({', '.join(BUILTIN)}), a weights file, or models:/NAME@ALIAS, "
    f"which is followed. By default the registry's champion, or {BUILTIN_BASE}.",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    help="Address to bind to; by default 127.0.0.1. Any other requires a token.",
)
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="Port; by default 8000.")
@optional_config("Replicas, resources and limits; by default those for a laptop.")
def serve(model: str | None, host: str | None, port: int | None, config_path: Path | None) -> None:
    """Serve a page and an HTTP API that reconstruct photos, on Ray Serve; ends with Ctrl-C."""
    from rayboot.cli.task_config import load_task_config
    from rayboot.serving.run import run_service
    from rayboot.serving.serve_config import ServeConfig

    config = ServeConfig() if config_path is None else load_task_config(ServeConfig, config_path)
    changes = {"model": model, "host": host, "port": port}
    config = config.replace(**{key: value for key, value in changes.items() if value is not None})

    def announce(address: str) -> None:
        click.echo(address)
        print_note("open this address in a browser; Ctrl-C ends the service")

    run_service(config, announce)
