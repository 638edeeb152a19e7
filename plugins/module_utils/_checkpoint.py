# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change found on a host and what it was to leave there: enough to take it back, or to finish it. Pure.

Holds secrets as they are, so it never leaves the host; what people may see of it is its summary.
"""

from __future__ import annotations

import json
from dataclasses import field, replace
from typing import Dict, Iterable, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Change,
    ChangeSummary,
    FileState,
    Routing,
    to_wire,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._record_file import FORMAT, read_record
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel

CONFIRMED = "confirmed"
FAILED = "failed"
REVERTED = "reverted"
ROLLED_BACK = "rolled back"
# Of a record that is damaged, or of another version.
UNREADABLE = "unreadable"
# Why a change is taken back that nobody finishes any more.
INTERRUPTED = "its run was interrupted"


@dataclass(frozen=True)
class Things:
    """The state of the things that a change touches. modules: whether each is loaded; qdiscs: as _qdisc.state_name.

    tunnels: None where there is no such interface. routing: what FRR runs, whose files are among the others.
    """

    keys: Dict[str, str] = field(default_factory=dict)
    qdiscs: Dict[str, str] = field(default_factory=dict)
    modules: Dict[str, bool] = field(default_factory=dict)
    files: Dict[str, FileState] = field(default_factory=dict)
    tunnels: Dict[str, Optional[Tunnel]] = field(default_factory=dict)
    routing: Optional[Routing] = None


@dataclass(frozen=True)
class Checkpoint:
    """A change. summary: for people. boot: of which boot of the host it is. changes: the plan, secrets masked.

    due: the uptime, in seconds, at which the host takes it back. writing: files are being written, so that a boot may
    find some old and some new. congestion_control: what a new socket gets.
    """

    summary: ChangeSummary
    before: Things
    after: Things
    boot: str = ""
    due: float = 0.0
    writing: bool = False
    congestion_control: str = ""
    changes: Tuple[Change, ...] = ()

    @property
    def id(self) -> str:
        """What people call it by."""
        return self.summary.id

    def ended(self, outcome: str, at: str, why: str = "") -> Checkpoint:
        """The same change with what became of it."""
        return replace(self, summary=replace(self.summary, outcome=outcome, ended=at, why=why), writing=False)


def dump(checkpoint: Checkpoint) -> str:
    """The text of the file that load reads."""
    return json.dumps({**to_wire(checkpoint), "format": FORMAT}, indent=1, sort_keys=True) + "\n"


def load(path: str, text: str) -> Checkpoint:
    """The change in a file's text; HostError, which names the file, where it is damaged or of another version."""
    cure = "look at it; remove it to give up what it would take back"
    return read_record(Checkpoint, path, text, "a record of a change", cure)


def all_before(checkpoints: Iterable[Checkpoint]) -> Things:
    """What stood before the earliest of several changes, given latest first."""
    return _overlaid(checkpoint.before for checkpoint in checkpoints)


def all_after(checkpoints: Iterable[Checkpoint]) -> Things:
    """What the latest of several changes leaves there, given earliest first."""
    return _overlaid(checkpoint.after for checkpoint in checkpoints)


def _overlaid(each: Iterable[Things]) -> Things:
    """The things of several: of those that more than one has, as the last one has them."""
    keys: Dict[str, str] = {}
    qdiscs: Dict[str, str] = {}
    modules: Dict[str, bool] = {}
    files: Dict[str, FileState] = {}
    tunnels: Dict[str, Optional[Tunnel]] = {}
    routing: Optional[Routing] = None
    for things in each:
        keys.update(things.keys)
        qdiscs.update(things.qdiscs)
        modules.update(things.modules)
        files.update(things.files)
        tunnels.update(things.tunnels)
        routing = things.routing or routing
    return Things(keys, qdiscs, modules, files, tunnels, routing)


def joined(earlier: Optional[Checkpoint], later: Checkpoint) -> Checkpoint:
    """What is done later made a part of a change that is pending: of its id, and with the later one's time."""
    if earlier is None:
        return later
    before, after = all_before((later, earlier)), all_after((earlier, later))
    changes, writing = (*earlier.changes, *later.changes), earlier.writing or later.writing
    return replace(later, summary=earlier.summary, before=before, after=after, changes=changes, writing=writing)


def describe_wait(summary: ChangeSummary) -> str:
    """That a change waits to be confirmed, for how long and whose it is, in words for people; begins with the verb."""
    return "is pending for %d s more, made by %s" % (summary.left, summary.author or "somebody")


def describe_end(summary: Optional[ChangeSummary]) -> str:
    """That the host took a change back by itself, in words for people; empty where there is nothing to say."""
    if summary is None or summary.outcome != REVERTED:
        return ""
    return "change %s was taken back at %s: %s" % (summary.id, summary.ended, summary.why)
