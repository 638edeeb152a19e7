# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are kept on the controller: what those of a host are called, and putting one in place at once."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import IO
from urllib.parse import quote

OWNER_ALONE = 0o600


def host_path(directory: str, host: str) -> str:
    """Where what belongs to a host goes. A name that could lead elsewhere is quoted."""
    name = quote(host, safe=" @:,[]+=~")
    return os.path.join(directory, "%2E" + name[1:] if name.startswith(".") else name)


@contextlib.contextmanager
def placed(path: str, mode: int) -> Iterator[IO[bytes]]:
    """Put a file in place at once, with what is written meanwhile; it has its mode before.

    Two runs at the same time never mix in one file. OSError where that cannot be done; then nothing of it is left.
    """
    directory, name = os.path.split(path)
    # Of mode 0600.
    handle, temporary = tempfile.mkstemp(prefix=".%s-" % name.partition(".")[0], dir=directory or ".")
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            yield stream
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def put(path: str, text: str, mode: int) -> None:
    """Put a text in place as placed does."""
    with placed(path, mode) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))
