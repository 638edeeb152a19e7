# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files about kube-proxy as they may leave their host: what else stands in them may be a secret. Pure.

k3s and RKE2 have their token, and passwords of databases and object stores, in the same files as kube-proxy's
arguments. What is not known to be harmless is left out, not what is known to be a secret.
"""

from __future__ import annotations

import json
import re
from typing import List, Tuple

# Of k3s and RKE2: what decides about kube-proxy, and what the API calls the node.
_HARMLESS = ("kube-proxy-arg", "kube-proxy-arg+", "disable-kube-proxy", "node-name")
_KEY = re.compile(r"(?P<quote>[\"']?)(?P<key>[A-Za-z][A-Za-z0-9_.+-]*)(?P=quote)[ \t]*:(?=[ \t\r]|\Z)")
# What goes on with the value above it, or is no value at all.
_GOES_ON = re.compile(r"[ \t#-]|\Z")
_DOCUMENT = re.compile(r"(?:---|\.\.\.)(?:[ \t]|\Z)")
MASKED = "<left out>"
# A line with which no YAML can go on.
_NO_YAML = "@ left out"
# With the lines that go on after a backslash.
_ENVIRONMENT = re.compile(r"^([ \t]*(?:Environment|SetCredential\w*)[ \t]*=)(?:[^\n]*\\\n)*[^\n]*$", re.MULTILINE)


def rancher_text(text: str) -> Tuple[str, bool]:
    """A file of k3s or RKE2 with the values of other keys left out, and whether it is written one key a line.

    Where it is not, what is left cannot be read as YAML: a file that is not understood must not be taken for one that
    says nothing.
    """
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return _of_json(text)
    found: List[str] = []
    kept, known = True, True
    for line in text.splitlines():
        match = _KEY.match(line)
        if match:
            kept = match.group("key") in _HARMLESS
            found.append(line if kept else "%s: %s" % (match.group("key"), MASKED))
        elif _DOCUMENT.match(line):
            kept = True
            found.append(line[:3])
        elif _GOES_ON.match(line):
            # A comment may be anything, also a value that is not in force.
            plain = kept and not line.lstrip().startswith("#")
            found += [line] if plain else []
        else:
            known = False
            found.append(_NO_YAML)
    return "".join(line + "\n" for line in found), known


def _of_json(text: str) -> Tuple[str, bool]:
    """YAML may be JSON too."""
    try:
        values = json.loads(text.lstrip("\ufeff"))
    except ValueError:
        return _NO_YAML + "\n", False
    return json.dumps({key: value if key in _HARMLESS else MASKED for key, value in values.items()}) + "\n", True


def unit_text(text: str) -> str:
    """A systemd unit without the values of its environment."""
    return _ENVIRONMENT.sub(r"\1", text)
