"""Entry point of ``rayboot generate`` for Ray jobs: ``python jobs/generate.py [OPTIONS]``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["generate", *sys.argv[1:]])
