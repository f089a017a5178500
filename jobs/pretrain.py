"""Trains the compact baseline from a config: ``python jobs/pretrain.py --config F``."""

import click

from rayboot.config import load_config
from rayboot.train.pretrain import pretrain
from rayboot.train.training_config import PretrainConfig


@click.command()
@click.option("--config", "path", required=True, help="YAML of a PretrainConfig.")
@click.option("--data", help="URI of the synthesised set, instead of the config's.")
@click.option("--output", help="Folder of the weights, instead of the config's.")
def main(path: str, data: str | None, output: str | None) -> None:
    """Trains a network on faces with known shape."""
    config = load_config(PretrainConfig, path)
    changes = {"data": data, "output": output}
    config = config.replace(**{key: value for key, value in changes.items() if value})
    click.echo(str(pretrain(config)))


if __name__ == "__main__":
    main()
