# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of hosts' counters, kept on the controller, so that a later check judges all the time between.

One file a host, for its owner alone: what a host has counted tells how busy it is. I/O; on the controller alone.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Sample
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._put import OWNER_ALONE, host_path, put

_FORMAT = 1
_LARGEST = 1 << 20
_VARIABLE = "tcp_health_samples"


def sample_path(directory: str, host: str) -> str:
    """Where a host's sample is kept."""
    return host_path(directory, host) + ".json"


def read_sample(directory: str, host: str) -> Tuple[Dict[str, Any], str]:
    """The sample that is kept of a host, as JSON data, empty where there is none; and why one cannot be used."""
    path = sample_path(directory, host)
    try:
        with open(path, encoding="utf-8") as stream:
            data = json.loads(stream.read(_LARGEST))
        if not isinstance(data, dict) or data.get("format") != _FORMAT or data.get("host") != host:
            raise ValueError("it is no sample of this host")
        from_wire(Sample, data.get("sample"))
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, "%s: %s" % (path, error.strerror)
    except (ValueError, TypeError, RecursionError) as error:
        return {}, "%s: %s" % (path, error)
    return dict(data["sample"]), ""


def make_directory(directory: str) -> None:
    """Make the directory, for its owner alone, where there is none; InputError where it cannot be written to."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError as error:
        raise _refused(directory, error) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise input_error(_VARIABLE, "%s cannot be written to" % directory, "name another one")


def keep_sample(directory: str, host: str, sample: Dict[str, Any]) -> None:
    """Put a host's sample in the place of the earlier one, at once; InputError where that cannot be done."""
    path = sample_path(directory, host)
    try:
        put(path, json.dumps({"format": _FORMAT, "host": host, "sample": sample}), OWNER_ALONE)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: str, error: OSError) -> InputError:
    return input_error(_VARIABLE, "%s: %s" % (path, error.strerror), "name another directory")
