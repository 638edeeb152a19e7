# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop and remove every instance of the lab that a target of make starts: `python -m tools.lab_down [NAME ...]`."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.instances import INSTANCES
from tools.shared import ToolError, clean_environment, finish, run

BACKENDS = ("vm", "container")


def main() -> int:
    """Take down the named instances, or all; each is tried, whichever fail."""
    failed = []
    for name in sys.argv[1:] or list(INSTANCES):
        if name not in INSTANCES:
            raise ToolError(f"no such instance of the lab: {name}; there are {', '.join(INSTANCES)}")
        if not Path(INSTANCES[name]["NETFLEET_LAB_DIR"]).exists():
            continue  # never started from this clone; another clone's instance of this number is not ours to stop
        for backend in BACKENDS:
            command = [sys.executable, "-m", "lab", "down", "--backend", backend]
            try:
                run(command, f"lab down ({name}, {backend})", env=clean_environment(**INSTANCES[name]), show=True)
            except ToolError as error:
                failed.append(str(error))
    if failed:
        raise ToolError("\n".join(failed))
    return 0


if __name__ == "__main__":
    finish(main)
