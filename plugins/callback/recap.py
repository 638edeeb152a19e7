# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says at the end of a run what changed on which hosts, what they run now, and which hosts could not be asked."""

from __future__ import annotations

DOCUMENTATION = r"""
name: recap
type: aggregate
short_description: What a tuning run changed, by change and not by host
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Groups hosts by what changed on them, so that a thousand hosts with the same change are one entry, then says what
    the kernels run now, and names the hosts that failed or could not be reached. Where a run stopped, it says which
    hosts are changed, which took the change back, and which were not reached any more.
  - Says nothing where no task of M(netfleet.tcp.tcp_tuning), M(netfleet.tcp.tcp_change) or
    M(netfleet.tcp.tcp_rollback) ran.
requirements:
  - enabled by C(callbacks_enabled = netfleet.tcp.recap) in ansible.cfg
"""

from dataclasses import replace
from typing import Any, Dict, Tuple

from ansible.plugins.callback import CallbackBase

from ansible_collections.netfleet.tcp.plugins.module_utils._recap import (
    PENDING,
    WAITING,
    HostResult,
    headline_state,
    host_status,
    recap_lines,
    with_links,
)

_NAMES = ("tcp_tuning", "tcp_change", "tcp_rollback")
_ACTIONS = frozenset([*_NAMES, *("netfleet.tcp." + name for name in _NAMES)])
# What follows the waves; a run of these alone has no recap.
_AFTER = ("wireguard_links", "kube_proxy")
_LATER = frozenset([*_AFTER, *("netfleet.tcp." + name for name in _AFTER)])
_COLOURS = {"title": None, "changed": "yellow", "ok": "green", "failed": "red", "plain": None}


class CallbackModule(CallbackBase):
    """Collects the results of tcp_tuning and prints them once."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "netfleet.tcp.recap"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._results: Dict[str, HostResult] = {}
        self._later: Dict[str, HostResult] = {}
        self._check_mode = False
        self._ran = False

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002 - the API
        """Remember that there is something to report, and whether it is for real."""
        if task.action in _ACTIONS:
            self._ran = True
            self._check_mode = bool(task.check_mode)

    def _keep(self, result: Any, status: str) -> None:
        # _task_fields and _host are the callback API of every supported ansible-core; 2.19 added public names.
        name = result._host.get_name()
        answer: Dict[str, Any] = result._result
        if status in ("ok", "changed") and result._task.action in _LATER:
            if answer.get("changes"):
                became = host_status(status, answer, self._check_mode)
                earlier = self._later.get(name)
                changes = (*(earlier.changes if earlier else ()), *_changes(answer))
                self._later[name] = HostResult(status=became, changes=changes)
            return
        if status in ("failed", "unreachable") or result._task.action in _ACTIONS:
            problems = answer.get("problems") or ([answer["msg"]] if answer.get("msg") else [])
            earlier = self._results.get(name)
            if result._task.action not in _ACTIONS and earlier and earlier.status in (WAITING, PENDING):
                # A task that concerns the wave has failed: the host is what it was.
                self._results[name] = replace(earlier, problems=tuple(str(problem) for problem in problems))
                return
            became = host_status(status, answer, self._check_mode)
            self._results[name] = HostResult(
                status=became,
                changes=_changes(answer),
                running=headline_state(answer.get("before" if became == WAITING else "after") or {}),
                problems=tuple(str(problem) for problem in problems),
            )

    def v2_runner_on_ok(self, result: Any) -> None:
        """A host that is as declared, or now is."""
        self._keep(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A host that refused; an earlier success of it no longer counts."""
        if not ignore_errors:
            self._keep(result, "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host that could not be asked."""
        self._keep(result, "unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002 - the API
        """Print it."""
        if not self._ran:
            return
        self._display.banner("TCP")
        results = {name: with_links(found, self._later.get(name)) for name, found in self._results.items()}
        for style, text in recap_lines(results, self._check_mode):
            self._display.display(text, color=_COLOURS[style])


def _changes(answer: Dict[str, Any]) -> Tuple[Tuple[str, str, str, str], ...]:
    changes = answer.get("changes") or ()
    return tuple(
        (str(entry["subject"]), str(entry["key"]), str(entry["running"]), str(entry["want"])) for entry in changes
    )
