"""Builds the site: ``python -m infra.docs [FOLDER]``, by default into ``build/site``."""

import sys
from pathlib import Path

from infra.docs.build import build_site
from infra.docs.stage import ROOT

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/site"
    sys.exit(build_site(folder))
