# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR as a service: what of it runs, and that it runs by its files. Pure but for the System that is handed in."""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._files import put
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import (
    CONFIGURATION,
    DAEMONS,
    DAEMONS_FILE,
    INSTALL,
    ZEBRA,
    needs_restart,
    wanted_routing,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState, Routing
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

LIBRARY = "/usr/lib/frr"
RELOAD = LIBRARY + "/frr-reload.py"
_RUNNING = ("vtysh", "-c", "show daemons")
# Given another file than its folder's own, it would write over that what runs, in its own words.
_RELOAD = (RELOAD, "--reload", CONFIGURATION)
_FOLDER = STATE_DIRECTORY + "/frr"
_CANDIDATE = _FOLDER + "/frr.conf"
_RELOAD_CANDIDATE = (RELOAD, "--reload", "--confdir", _FOLDER, _CANDIDATE)
# What its programs read of a folder beside the configuration.
_VTYSH = FileState(_FOLDER + "/vtysh.conf", "file", 0o600, "service integrated-vtysh-config\n")
# FRR tells these of a kernel that forwards nothing, whatever its files say. To bring FRR to files without them is, to
# frr-reload.py, to have the kernel forward; and with them in its files, FRR would undo at each boot what others set.
_FORWARDS_NOTHING = {
    "/proc/sys/net/ipv4/ip_forward": "no ip forwarding",
    "/proc/sys/net/ipv6/conf/all/forwarding": "no ipv6 forwarding",
}
_UNIT = "frr.service"
_ENABLED, _ACTIVE = (("systemctl", verb, "--quiet", _UNIT) for verb in ("is-enabled", "is-active"))
# Whoever takes a change back must not wait for ever for a daemon that hangs. Seconds.
_AT_MOST, _AT_MOST_TO_ANSWER = ("timeout", "-k", "5", "120"), ("timeout", "-k", "5", "30")


def running_daemons(system: System) -> Sequence[str]:
    """The daemons of FRR that run; none where it is not installed, or does not answer."""
    status, output, _error = system.run([*_AT_MOST_TO_ANSWER, *_RUNNING])
    return output.split() if status == 0 else ()


def routing_of(system: System) -> Routing:
    """What of FRR runs, and whether the next boot starts it."""
    running = running_daemons(system)
    return Routing(tuple(name for name in (ZEBRA, *DAEMONS) if name in running), _enabled(system))


def routing_to_give_back(system: System) -> Routing:
    """The same, to be given back: of FRR that is active and does not answer, what its file says, lest it be stopped."""
    have = routing_of(system)
    if have.daemons or system.run(list(_ACTIVE))[0] != 0:
        return have
    return replace(wanted_routing(system.read(DAEMONS_FILE) or ""), enabled=have.enabled)


def _enabled(system: System) -> bool:
    return system.run(list(_ENABLED))[0] == 0


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
        _reload(system)


def _reload(system: System) -> None:
    """Bring FRR to its file by what differs, and leave alone whether the kernel forwards."""
    what = "FRR could not be brought to the configuration"
    lines = [line for path, line in _FORWARDS_NOTHING.items() if (system.read(path) or "").strip() == "0"]
    if not lines:
        must_run(system, _RELOAD, what)
        return
    text = "\n".join([(system.read(CONFIGURATION) or "").rstrip("\n"), *lines, ""])
    system.make_private_directory(_FOLDER)
    put(system, _VTYSH)
    put(system, FileState(_CANDIDATE, "file", 0o600, text))
    try:
        must_run(system, _RELOAD_CANDIDATE, what)
    finally:
        # It may hold passwords of neighbors.
        put(system, FileState(_CANDIDATE))


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
    if want.enabled != _enabled(system):
        verb = "enable" if want.enabled else "disable"
        _systemctl(system, verb, "FRR could not be %sd" % verb)


def missing(system: System, want: Routing) -> Tuple[str, ...]:
    """The daemons that are to run and do not."""
    running = running_daemons(system)
    return tuple(name for name in want.daemons if name not in running)


def _systemctl(system: System, verb: str, what: str) -> None:
    must_run(system, ("systemctl", verb, _UNIT), what)


def must_run(system: System, argv: Sequence[str], what: str) -> None:
    """Run one of FRR's programs; HostError, which says what could not be done and why, where it fails."""
    status, output, error = system.run([*_AT_MOST, *argv])
    if status == 127:
        raise host_error(argv[0], "is not installed", INSTALL)
    if status:
        said = [line for line in (error + "\n" + output).splitlines() if line.strip()]
        otherwise = "it did not end within %s s" % _AT_MOST[-1] if status == 124 else "exit status %d" % status
        raise host_error(" ".join(argv), "%s: %s" % (what, "; ".join(said[:3]) or otherwise))
