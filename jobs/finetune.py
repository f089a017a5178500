"""``rayboot finetune`` as the entry point of a Ray job: ``python jobs/finetune.py --config F``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["finetune", *sys.argv[1:]])
