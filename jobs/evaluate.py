"""``rayboot evaluate`` as a Ray job's entry point: ``python jobs/evaluate.py --config F``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
