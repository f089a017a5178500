"""Entry point of ``rayboot finetune`` for Ray jobs: ``python jobs/finetune.py [OPTIONS]``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["finetune", *sys.argv[1:]])
