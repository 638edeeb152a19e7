# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR as a service: what of it runs, and that it runs by its files. Pure but for the System that is handed in."""

from __future__ import annotations

from typing import Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import (
    CONFIGURATION,
    DAEMONS,
    INSTALL,
    ZEBRA,
    Routing,
    switches,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

LIBRARY = "/usr/lib/frr"
RELOAD = LIBRARY + "/frr-reload.py"
_RUNNING = ("vtysh", "-c", "show daemons")
# Given another file than FRR's own, it would write over that what runs, in its own words.
_RELOAD = (RELOAD, "--reload", CONFIGURATION)
_UNIT = "frr.service"
_ENABLED = ("systemctl", "is-enabled", "--quiet", _UNIT)
# Whoever takes a change back must not wait for ever for a daemon that hangs.
_AT_MOST = ("timeout", "--kill-after=5", "120", "--")


def running_daemons(system: System) -> Sequence[str]:
    """The daemons of FRR that run; none where it is not installed, or does not answer."""
    status, output, _error = system.run(list(_RUNNING))
    return output.split() if status == 0 else ()


def routing_of(system: System) -> Routing:
    """What of FRR runs, and whether the next boot starts it."""
    running = running_daemons(system)
    names = tuple(name for name in (ZEBRA, *DAEMONS) if name in running)
    return Routing(names, system.run(list(_ENABLED))[0] == 0)


def wanted_routing(daemons: str) -> Routing:
    """What a daemons file of this text has run."""
    on = switches(daemons)
    return Routing((ZEBRA, *(name for name in DAEMONS if on.get(name) == "yes")), enabled=True)


def needs_restart(want: Routing, have: Routing) -> bool:
    """Whether daemons have to be started or ended, which no session outlives."""
    return set(want.daemons) != set(have.daemons)


def bring(system: System, want: Routing) -> None:
    """Have FRR run by its files, as they stand. HostError, with what it says, where it does not."""
    have = routing_of(system)
    if not want.daemons:
        if have.daemons:
            _systemctl(system, "stop", "FRR could not be stopped")
    elif needs_restart(want, have):
        system.log("FRR: restarted with a configuration")
        _systemctl(system, "restart", "FRR could not be started")
    else:
        system.log("FRR: configuration reloaded")
        must_run(system, (*_AT_MOST, *_RELOAD), "FRR could not be brought to the configuration")


def give_back(system: System, before: Routing) -> None:
    """Have FRR run by its files, which are those from before: by a restart, where nothing less does it."""
    try:
        bring(system, before)
    except HostError:
        if not before.daemons:
            raise
        _systemctl(system, "restart", "FRR could not be started")
    at_boot(system, before)


def at_boot(system: System, want: Routing) -> None:
    """Have the next boot start FRR, or not. HostError where it cannot be."""
    if want.enabled != routing_of(system).enabled:
        verb = "enable" if want.enabled else "disable"
        _systemctl(system, verb, "FRR could not be %sd" % verb)


def missing(system: System, want: Routing) -> Tuple[str, ...]:
    """The daemons that are to run and do not."""
    running = running_daemons(system)
    return tuple(name for name in want.daemons if name not in running)


def _systemctl(system: System, verb: str, what: str) -> None:
    must_run(system, (*_AT_MOST, "systemctl", verb, _UNIT), what)


def must_run(system: System, argv: Sequence[str], what: str) -> None:
    """Run one of FRR's programs; HostError, which says what could not be done and why, where it fails."""
    status, output, error = system.run(list(argv))
    if status == 127:
        raise host_error(argv[0], "is not installed", INSTALL)
    if status:
        said = [line for line in (error + "\n" + output).splitlines() if line.strip()]
        shown = argv[len(_AT_MOST) :] if argv[0] == _AT_MOST[0] else argv
        raise host_error(" ".join(shown), "%s: %s" % (what, "; ".join(said[:3]) or "exit status %d" % status))
