"""``rayboot finetune`` as a Ray job's entry point: ``python jobs/finetune.py --config F``."""

import sys

from rayboot.cli import main

if __name__ == "__main__":
    main(["finetune", *sys.argv[1:]])
