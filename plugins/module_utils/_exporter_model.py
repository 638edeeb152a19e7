# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exporter of a host is told, and where its parts stand. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import field
from typing import Dict, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._health import Asked
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._record_file import FORMAT, read_record

PROGRAM = STATE_DIRECTORY + "/exporter.pyz"
SETTINGS = STATE_DIRECTORY + "/exporter.json"
# In node_exporter's directory.
FILE_NAME = "netfleet_tcp.prom"
# What a unit of systemd and a flag of node_exporter take as it is.
_DIRECTORY = re.compile(r"(?:/[A-Za-z0-9_.@+-]+)+\Z")
SHORTEST, LONGEST, MOST = 15, 3600, 100


@dataclass(frozen=True)
class ExporterSettings:
    """directory: node_exporter's, for text files. peers, targets, rtt_targets: as in Asked. top: of each list.

    interval: seconds between two looks. groups: of the inventory.
    """

    directory: str
    peers: Dict[str, Tuple[str, ...]] = field(default_factory=dict)
    targets: Dict[str, float] = field(default_factory=dict)
    rtt_targets: Dict[str, float] = field(default_factory=dict)
    top: int = 20
    interval: int = 60
    groups: Tuple[str, ...] = ()

    @property
    def asked(self) -> Asked:
        """What to look at. Nothing is counted: Prometheus does that, of node_exporter's counters.

        Nor is loopback watched, of which there are no metrics.
        """
        return Asked(peers=self.peers, targets=self.targets, rtt_targets=self.rtt_targets, top=self.top, loopback=False)

    @property
    def text_file(self) -> str:
        """Where the metrics go."""
        return "%s/%s" % (self.directory, FILE_NAME)


def is_directory(path: str) -> bool:
    """Whether this can be the path of a directory for text files."""
    return bool(_DIRECTORY.match(path)) and ".." not in path.split("/")


def dump(settings: ExporterSettings) -> str:
    """The text of the file that load reads."""
    return json.dumps({**to_wire(settings), "format": FORMAT}, indent=1, sort_keys=True) + "\n"


def load(text: str) -> ExporterSettings:
    """The settings in the text of SETTINGS; HostError where it is damaged or of another version."""
    return read_record(ExporterSettings, SETTINGS, text, "the exporter's settings", "run the playbook monitoring again")
