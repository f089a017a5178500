"""Entry point of ``rayboot round`` for Ray jobs: ``python jobs/round.py [OPTIONS]``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["round", *sys.argv[1:]])
