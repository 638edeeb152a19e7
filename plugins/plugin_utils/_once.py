# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that is done once for all hosts of a task: whichever worker is first leaves what it found for the others.

Each host is a process of its own. Runs on the controller alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold a file's lock, which is made where it is not there; wait while another worker does."""
    with open(path, "w", encoding="utf-8") as stream:
        # Given up when the file is closed, or its holder dies.
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def file_name(text: str) -> str:
    """A name for a file that stands for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
