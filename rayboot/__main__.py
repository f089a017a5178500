"""The command line as ``python -m rayboot``."""

from rayboot.cli import main

if __name__ == "__main__":
    main(prog_name="rayboot")
