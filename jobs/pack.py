"""Entry point of ``rayboot pack`` for Ray jobs: ``python jobs/pack.py [OPTIONS]``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["pack", *sys.argv[1:]])
