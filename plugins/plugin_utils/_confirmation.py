# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Confirms a change over a fresh connection: whether the host can still be reached is the first thing that it proves.

Runs on the controller alone, inside an action plugin.
"""

from __future__ import annotations

import getpass
import hashlib
import socket
import time
from collections.abc import Callable
from typing import Any, Dict

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

# Left over at the end of the window for a last attempt: what comes later meets a host that has taken the change back.
_MARGIN = 5.0
_PAUSE = 2.0


def author() -> str:
    """Who makes the change, for the host's records: user@controller."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"
    return "%s@%s" % (user, socket.gethostname())


def run_id(task_uuid: str) -> str:
    """What the hosts of a run call it by. task_uuid: of Ansible's task, which is the same for all of them."""
    return hashlib.sha256(task_uuid.encode()).hexdigest()[:8]


def confirm(
    connection: ConnectionBase,
    execute: Callable[[], Dict[str, Any]],
    pending: Dict[str, Any],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    reached: bool = False,
) -> Dict[str, Any]:
    """The answer of tcp_confirm (execute), asked for over a new connection for so many seconds.

    reached: the connection that is there was made since the change, and served; it is new enough for the first attempt.
    AnsibleConnectionFailure, which says when the host is as before again, where it cannot be reached any more.
    """
    new_enough = reached

    def attempt() -> Dict[str, Any]:
        nonlocal new_enough
        if not new_enough:
            fresh(connection)
        new_enough = False
        return execute()

    try:
        return persist(attempt, seconds - _MARGIN, clock, sleep)
    except AnsibleConnectionFailure as error:
        raise AnsibleConnectionFailure(
            "the host cannot be reached since change %s; it takes it back by itself, %d s after it was made: %s"
            % (pending["id"], pending["window"], error)
        ) from error


def persist(
    attempt: Callable[[], Dict[str, Any]],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Dict[str, Any]:
    """What an attempt gives that is made at least once, and again for so many seconds where the host is out of reach.

    AnsibleConnectionFailure where it still is then.
    """
    until = clock() + seconds
    while True:
        try:
            return attempt()
        except AnsibleConnectionFailure:
            if clock() >= until:
                raise
            sleep(_PAUSE)


def fresh(connection: ConnectionBase) -> None:
    """Close a connection, and the one that it shares (ssh's ControlPersist), so that the next use makes a new one."""
    if type(connection).reset is ConnectionBase.reset:
        # One that cannot be reset is but closed.
        connection.close()
        return
    try:
        connection.reset()
    except AnsibleConnectionFailure:
        raise
    except AnsibleError:
        connection.close()
