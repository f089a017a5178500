"""Number of GPUs that a config needs of a cluster, counted from its actors and workers."""

from rayboot.config import FrozenConfig
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.pipeline.generate_config import PoolConfig
from rayboot.serving.serve_config import ServeConfig
from rayboot.train.training_config import TrainingSettings

__all__ = ["count_gpus"]


def count_gpus(config: FrozenConfig) -> float:
    """Returns the number of GPUs that must be there for a run to start.

    The steps of a round follow each other, so that the largest of them counts.
    """
    values = [getattr(config, name) for name in type(config).model_fields]
    steps = [count_gpus(value) for value in values if isinstance(value, FrozenConfig)]
    return max([_count_own_gpus(config), *steps])


def _count_own_gpus(config: FrozenConfig) -> float:
    if isinstance(config, PoolConfig):
        return sum(actor.get("GPU", 0.0) for actor in config.bundles())
    if isinstance(config, MeasureConfig):
        return config.num_actors * config.gpus_per_actor
    if isinstance(config, TrainingSettings) and config.use_gpu:
        num_workers = config.num_workers
        return float(num_workers if isinstance(num_workers, int) else min(num_workers))
    if isinstance(config, ServeConfig):
        # Further replicas wait for their GPUs while the first ones answer.
        return config.num_gpus
    return 0.0
