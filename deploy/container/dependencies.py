"""Print what an image installs, as pip's requirements: ``dependencies.py [EXTRA…]``.

The base image has no display: it takes the headless build of OpenCV, the same ``cv2`` without
some forty system packages for windows. An extra may ask for the other build, and the two
overwrite each other's files, so with extras the dependencies stay as they are.
"""

import re
import sys
import tomllib
from pathlib import Path


def dependencies(project: dict, extras: list[str]) -> list[str]:
    """The requirements of a parsed pyproject.toml's base, and of its ``extras``."""
    wanted = list(project["project"]["dependencies"])
    for extra in extras:
        wanted += project["project"]["optional-dependencies"][extra]
    if not extras:
        wanted = [re.sub(r"^opencv-python(?![\w-])", "opencv-python-headless", w) for w in wanted]
    return wanted


if __name__ == "__main__":
    print("\n".join(dependencies(tomllib.loads(Path("pyproject.toml").read_text()), sys.argv[1:])))
