# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the host that must not fail, and what they print as JSON. Pure but for the System that is handed in."""

from __future__ import annotations

import json
from typing import Any, Sequence

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# Of ip and tc: since then they print JSON.
IPROUTE2 = "is iproute2 older than 4.17?"


def must_run(system: System, argv: Sequence[str], stdin: str = "", cure: str = "") -> str:
    """What a program prints; HostError with what it says of its fault where it fails.

    What it has printed by then is left out: it may hold keys.
    """
    status, output, error = system.run(list(argv), stdin)
    if status != 0:
        raise host_error(" ".join(argv), error.strip() or "exit status %d" % status, cure)
    return output


def printed_json(text: str, what: str, cure: str = "") -> Any:
    """What a program has printed; an empty list where it printed nothing. what: the program, for the HostError."""
    if not text.strip():
        return []
    try:
        return json.loads(text)
    except ValueError as error:
        raise host_error(what, "its output is not JSON: %s" % error, cure) from error
