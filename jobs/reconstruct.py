"""``rayboot reconstruct`` as a Ray job's entry point: ``python jobs/reconstruct.py --config F``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["reconstruct", *sys.argv[1:]])
