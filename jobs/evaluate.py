"""``rayboot evaluate`` as the entry point of a Ray job: ``python jobs/evaluate.py --config F``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
