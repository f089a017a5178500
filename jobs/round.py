"""``rayboot round`` as a Ray job's entry point: ``python jobs/round.py --config F``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["round", *sys.argv[1:]])
