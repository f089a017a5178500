"""``rayboot generate`` as a Ray job's entry point: ``python jobs/generate.py --config F``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["generate", *sys.argv[1:]])
