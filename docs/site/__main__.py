"""Builds the site of the documentation below build/site: `python -m docs.site`."""

import subprocess
import sys

from docs.site.build import ROOT, build

if __name__ == "__main__":
    try:
        print((build(ROOT / "build" / "site") / "index.html").as_uri())
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.output)
