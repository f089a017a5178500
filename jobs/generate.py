"""``rayboot generate`` as the entry point of a Ray job: ``python jobs/generate.py --config F``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["generate", *sys.argv[1:]])
