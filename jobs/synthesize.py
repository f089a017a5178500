"""Entry point of ``rayboot synthesize`` for Ray jobs: ``python jobs/synthesize.py [OPTIONS]``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["synthesize", *sys.argv[1:]])
