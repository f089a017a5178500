"""Entry point of ``rayboot evaluate`` for Ray jobs: ``python jobs/evaluate.py [OPTIONS]``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
