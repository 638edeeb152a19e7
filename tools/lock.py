# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock requirements/*.in anew, with hashes: `python -m tools.lock [NAME ...]`."""

from __future__ import annotations

import sys

from tools.shared import ROOT, ToolError, finish, run
from tools.venv import uv_environment, uv_of_bootstrap

# The oldest Python that a list serves; a locked file holds for all later ones too.
OLDEST_PYTHON = {"bootstrap": "3.11", "dev": "3.11", "bench": "3.11", "controller": "3.12", "targets": "3.8"}


def main() -> int:
    """Lock the named lists, or all."""
    names = sys.argv[1:] or list(OLDEST_PYTHON)
    unknown = set(names) - set(OLDEST_PYTHON)
    if unknown:
        raise ToolError(f"no such list: {', '.join(sorted(unknown))}; there are {', '.join(OLDEST_PYTHON)}")
    uv = uv_of_bootstrap()
    if not uv:
        raise ToolError("locking needs uv, which could not be installed (see above)")
    for name in names:
        folder = ROOT / "requirements"
        command = [str(uv), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-emit-index-url"]
        command += ["--no-emit-find-links", "--no-header", "--upgrade", "--python-version", OLDEST_PYTHON[name]]
        run(
            [*command, f"{folder}/{name}.in", "--output-file", f"{folder}/{name}.txt"],
            f"locking {name}.in",
            env=uv_environment(),
        )
        print(f"requirements/{name}.txt")
    return 0


if __name__ == "__main__":
    finish(main)
