# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a host remembers: a JSON file of one object, which says of which version of its format it is. Pure."""

from __future__ import annotations

import json
from typing import Type, TypeVar

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire

FORMAT = 1
_T = TypeVar("_T")


def read_record(kind: Type[_T], path: str, text: str, what: str, cure: str) -> _T:
    """The object in a file's text; HostError, which names the file, where it is damaged or of another version.

    what: what it cannot be read as, in words; cure: what to do then.
    """
    try:
        data = json.loads(text)
        if data.pop("format") != FORMAT:
            raise ValueError("it was written by another version of netfleet.tcp")
        return from_wire(kind, data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise host_error(path, "cannot be read as %s: %s" % (what, error), cure) from error
