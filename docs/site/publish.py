"""Adds the built site to the published versions, on the branch gh-pages: `python -m docs.site.publish 0.1.0`.

A version is published by its major and minor number. `latest` leads to the newest one, and so does the root.
"""

import argparse
import os
import re
from pathlib import Path
from typing import Final

from mike import commands

from docs.site.build import ROOT

BRANCH: Final = "gh-pages"
LATEST: Final = "latest"


def publish(version: str, site: Path) -> None:
    """Commits `site` to the branch of the repository in the working directory, as `version` and as the latest one."""
    numbers = re.fullmatch(r"(\d+\.\d+)\.\d+\S*", version)
    if numbers is None:
        raise SystemExit(f"{version!r} is no version such as 1.2.3")
    if not (site / "index.html").exists():
        raise SystemExit(f"{site} has no site: run `make site` first")
    with commands.deploy(
        {"site_dir": os.fspath(site), "use_directory_urls": False},
        numbers[1],
        version,
        [LATEST],
        update_aliases=True,
        # Not every host follows symbolic links.
        alias_type=commands.AliasType.redirect,
        branch=BRANCH,
        message=f"docs: publish {version}",
    ):
        # It is built already, with Zensical: `mike` itself would build it with MkDocs.
        pass
    commands.set_default(LATEST, branch=BRANCH, allow_empty=True, message=f"docs: open {LATEST} first")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m docs.site.publish", description="Publishes the built site.")
    parser.add_argument("version", help="of the release, such as 1.2.3")
    publish(parser.parse_args().version, ROOT / "build" / "site" / "html")
