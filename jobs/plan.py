"""Entry point of ``rayboot plan`` for Ray jobs: ``python jobs/plan.py [OPTIONS]``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["plan", *sys.argv[1:]])
