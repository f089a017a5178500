"""A bootstrap round as one resumable run."""

from rayboot.rounds.round_config import RoundConfig

__all__ = ["RoundConfig"]
