"""Commands that show what a config may contain, and the configs that come with rayboot."""

import json
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from rayboot.cli.help import HelpGroup, example
from rayboot.cli.messages import print_note
from rayboot.cli.shipped_configs import copy_config, find_config, list_configs

__all__ = ["completion", "configs", "schema"]

_TASKS = (
    *("synthesize", "plan", "generate", "pretrain", "finetune", "evaluate", "round"),
    *("reconstruct", "robustness", "serve"),
)
"""Names of :data:`rayboot.submission.tasks.CONFIG_TYPES`, which is imported only when needed."""


@click.command(epilog=example("rayboot schema round > round.schema.json"))
@click.argument("task", type=click.Choice(_TASKS), metavar="TASK")
def schema(task: str) -> None:
    """Print the JSON Schema of the config of TASK.

    TASK is one of synthesize, plan, generate, pretrain, finetune, evaluate, robustness (the
    config of `evaluate --experiment robustness`), round, reconstruct and serve.
    """
    from rayboot.submission.config_schema import describe_config

    click.echo(json.dumps(describe_config(task), indent=2, ensure_ascii=False))


@click.group(cls=HelpGroup, epilog=example("rayboot configs list"))
def configs() -> None:
    """List, show and copy the configs that come with rayboot.

    `--config NAME` takes such a config by its name, where there is no file NAME.
    """


def _complete_name(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [
        CompletionItem(config.name)
        for config in list_configs()
        if config.name.startswith(incomplete)
    ]


_name_argument = click.argument("name", metavar="NAME", shell_complete=_complete_name)


@configs.command("list", epilog=example("rayboot configs list"))
def list_command() -> None:
    """Print name, command and content of each config."""
    rows = list_configs()
    name_width = max(len(row.name) for row in rows)
    command_width = max(len(row.command) for row in rows)
    for row in rows:
        click.echo(f"{row.name:{name_width}}  {row.command:{command_width}}  {row.summary}")


@configs.command("show", epilog=example("rayboot configs show round-photos"))
@_name_argument
def show_command(name: str) -> None:
    """Print the config NAME."""
    click.echo(find_config(name).read_text("utf-8"), nl=False)


@configs.command("copy", epilog=example("rayboot configs copy round-photos my-configs"))
@_name_argument
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path())
def copy_command(name: str, folder: Path) -> None:
    """Copy the config NAME into DIR, by default the working folder, to change it there.

    Its JSON Schema is copied to DIR/schemas, where an editor finds it. No config that exists is
    overwritten.
    """
    path = copy_config(name, folder)
    print_note(f"run it with --config {path}")
    click.echo(path)


@click.command(epilog=example('eval "$(rayboot completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL: bash, zsh or fish.

    For bash and zsh, add the line of the example, with your shell's name, to ~/.bashrc or
    ~/.zshrc. For fish, write the script to ~/.config/fish/completions/rayboot.fish instead.
    """
    script = get_completion_class(shell)
    assert script is not None, shell
    click.echo(script(context.find_root().command, {}, "rayboot", "_RAYBOOT_COMPLETE").source())
