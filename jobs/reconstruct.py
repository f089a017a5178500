"""Entry point of ``rayboot reconstruct`` for Ray jobs: ``python jobs/reconstruct.py [OPTIONS]``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["reconstruct", *sys.argv[1:]])
