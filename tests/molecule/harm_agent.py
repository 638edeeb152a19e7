# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host of the lab: does harm to its traffic for as long as a change of this collection is pending there.

    harm_agent.py SECONDS HARM UNDO

Both are lines for a shell.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

PENDING = "/var/lib/netfleet-tcp/pending.json"


def main(seconds: float, harm: str, undo: str) -> None:
    until = time.monotonic() + seconds
    pending = False
    while time.monotonic() < until:
        if Path(PENDING).exists() != pending:
            pending = not pending
            subprocess.run(["/bin/sh", "-c", harm if pending else undo], check=True)
        time.sleep(0.1)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2], sys.argv[3])
