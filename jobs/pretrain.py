"""Entry point of ``rayboot pretrain`` for Ray jobs: ``python jobs/pretrain.py [OPTIONS]``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["pretrain", *sys.argv[1:]])
