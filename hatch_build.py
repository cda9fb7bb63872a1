"""Build hook: what the site's pages take from npm is copied into the package, where npm is there."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEB = Path(__file__).parent / "src" / "unbabble" / "web"
TAKEN = {
    "wavesurfer.js/dist/wavesurfer.esm.js": "wavesurfer.js",
    "wavesurfer.js/dist/plugins/spectrogram.esm.js": "spectrogram.js",
    "wavesurfer.js/LICENSE": "wavesurfer.LICENSE",
}


class CustomBuildHook(BuildHookInterface):
    """Called by hatchling for wheels and editable installations."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fill ``static/vendor``; without npm the site says that it lacks it, and all else works."""
        vendor = WEB / "static" / "vendor"
        if not all((vendor / name).is_file() for name in TAKEN.values()):
            fetch(vendor)


def fetch(vendor: Path) -> None:
    """Take the locked versions from npm."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is not there: `unbabble serve` will ask for it (then: make web).", file=sys.stderr)
        return
    done = subprocess.run(
        [npm, "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=WEB / "client",
        check=False,
    )
    if done.returncode:
        print("npm could not fetch what the site's pages need: `make web` tries again.", file=sys.stderr)
        return
    vendor.mkdir(parents=True, exist_ok=True)
    for source, name in TAKEN.items():
        shutil.copyfile(WEB / "client" / "node_modules" / source, vendor / name)
