"""A bootstrap round as one resumable run."""

from rayboot.rounds.config import RoundConfig

__all__ = ["RoundConfig"]
