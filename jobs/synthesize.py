"""``rayboot synthesize`` as a Ray job's entry point: ``python jobs/synthesize.py --config F``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["synthesize", *sys.argv[1:]])
