# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's own log of what was changed where: one line of JSON for each host and change.

Runs on the controller alone. Secrets are tokens by then.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from typing import Any, Dict

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, input_error

DEFAULT = "~/.local/state/netfleet-tcp/changes.jsonl"
_FIELDS = ("subject", "key", "running", "want")


def entry(host: str, verb: str, author: str, answer: Mapping[str, Any], now: float) -> Dict[str, Any]:
    """What a line says. answer: the result of the run on the host; what it left alone is not in it."""
    change = answer.get("change") or {}
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "host": host,
        "verb": verb,
        "author": author,
        "change": change.get("id", ""),
        "outcome": change.get("outcome") or ("failed" if answer.get("failed") else "confirmed"),
        "changes": [{name: item.get(name) for name in _FIELDS} for item in answer.get("changes") or ()],
        "said": answer.get("msg", "") if answer.get("failed") else "",
    }


def note(path: str, line: Mapping[str, Any], answer: Dict[str, Any]) -> None:
    """Add a line to the log, if there is to be one; where that cannot be done, the answer gets a warning of it."""
    if not path:
        return
    try:
        append(path, line)
    except InputError as error:
        answer["warnings"] = [*(answer.get("warnings") or []), str(error)]


def append(path: str, line: Mapping[str, Any]) -> None:
    """Add a line to the log, which is made closed to others. InputError where that cannot be done."""
    full = os.path.expanduser(path)
    data = (json.dumps(line, sort_keys=True) + "\n").encode()
    try:
        os.makedirs(os.path.dirname(full) or ".", mode=0o700, exist_ok=True)
        handle = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # Ansible's workers write at the same time.
            fcntl.flock(handle, fcntl.LOCK_EX)
            os.write(handle, data)
        finally:
            os.close(handle)
    except OSError as error:
        raise input_error("tcp_tuning_log", "%s: %s" % (full, error.strerror), "name another file, or none") from error
