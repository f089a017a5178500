"""The command that serves a model over HTTP."""

from pathlib import Path

import click

from rayboot.cli.help import example
from rayboot.cli.messages import print_note
from rayboot.cli.options import optional_config
from rayboot.registry.model_names import BUILTIN, BUILTIN_BASE

__all__ = ["serve"]


@click.command(epilog=example("rayboot serve --model builtin:base --port 8000"))
@click.option(
    "--model",
    metavar="M",
    show_default=f"the registry's champion, else {BUILTIN_BASE}",
    help=f"A model of the package ({', '.join(BUILTIN)}), a weights file, or models:/NAME@ALIAS, "
    "which is followed.",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    show_default="the config's, else 127.0.0.1",
    help="Address to bind to; any but loopback requires a token.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    show_default="the config's, else 8000",
    help="Port to bind to.",
)
@optional_config("YAML of replicas, resources and limits.")
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
