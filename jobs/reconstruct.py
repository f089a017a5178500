"""``rayboot reconstruct`` as the entry point of a Ray job: ``python jobs/reconstruct.py --config F``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["reconstruct", *sys.argv[1:]])
