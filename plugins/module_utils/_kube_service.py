# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kube-proxy that runs: what it answers, and its unit, restarted and waited for.

Pure but for the System that is handed in.
"""

from __future__ import annotations

import re
import time
from typing import Callable, List, Sequence, Set

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import MODES
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import must_run
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System

# A link of this name stands here while systemd runs the unit; its target is the id of this start of it.
ACTIVE = "/run/systemd/units/invocation:%s"
_SECONDS = 3.0
# Those of k3s are megabytes: they are those of the API server too.
_METRICS_SECONDS = 9.0
# Of a health that is none: that kube-proxy has told it.
ANSWERED = "HTTP status"
# Between two looks. kube-proxy itself takes some seconds.
_PAUSE = 0.5
# systemd starts one anew that ends by itself. More than these, and it does not come up by waiting.
_MOST_STARTS = 5
# When it was last asked to program the kernel, and when it last had: of each family that it serves, by newer versions.
_PROGRAMMED = re.compile(
    r"^kubeproxy_sync_proxy_rules_last_(queued_)?timestamp_seconds(?:\{[^}]*ip_family=\"(\w+)\"[^}]*\})? (\S+)$",
    re.MULTILINE,
)
_NOT_PROGRAMMED = "it has not programmed the kernel yet"
_COMPLAINT = re.compile(r"[EF]\d{4} |level=(?:error|fatal)|\b(?:error|fatal|panic|failed)\b", re.IGNORECASE)
_MOST_LINES = 3
_LONGEST_LINE = 300


@dataclass(frozen=True)
class Watch:
    """What kube-proxy is to be once it has started: in a mode, and where it answers. seconds: for which to wait."""

    mode: str
    metrics: str
    healthz: str
    seconds: float


class Clock:
    """Time as a wait sees it."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep, now: Callable[[], float] = time.monotonic) -> None:
        self.sleep, self.now = sleep, now


def proxy_mode(system: System, metrics: str) -> str:
    """The mode that kube-proxy says it runs; empty where it does not answer, or not with one."""
    status, text = system.http_get(metrics, "/proxyMode", _SECONDS)
    return text.strip() if status == 200 and text.strip() in MODES else ""


def health(system: System, healthz: str) -> str:
    """Why kube-proxy is not healthy, in words; empty where it is, or where it is not asked (an empty healthz)."""
    if not healthz:
        return ""
    status, text = system.http_get(healthz, "/healthz", _SECONDS)
    if status == 200:
        return ""
    return "%s: %s" % (healthz, "%s %d" % (ANSWERED, status) if status else text or "no answer")


def has_programmed(metrics_text: str) -> bool:
    """Whether kube-proxy has programmed the kernel since it started, by its metrics: with all Services, that is.

    It says that it is healthy before that.
    """
    asked: Set[str] = set()
    done: Set[str] = set()
    for queued, family, value in _PROGRAMMED.findall(metrics_text):
        if float(value):
            (asked if queued else done).add(family)
    return bool(done) and asked <= done


def wait_programmed(system: System, metrics: str, seconds: float, clock: Clock) -> None:
    """Until kube-proxy has programmed the kernel. HostError where it has not in time."""
    began = clock.now()
    while not is_programmed(system, metrics):
        if clock.now() - began >= seconds:
            raise host_error("kube-proxy", "has not programmed the kernel within %d s of its start" % seconds)
        clock.sleep(_PAUSE)


def is_programmed(system: System, metrics: str) -> bool:
    """Whether it has programmed the kernel since it started."""
    status, text = system.http_get(metrics, "/metrics", _METRICS_SECONDS)
    return status == 200 and has_programmed(text)


def start_of(system: System, unit: str) -> str:
    """What tells this start of a unit from its others; empty where it does not run."""
    return system.file_state(ACTIVE % unit).target


def restart(system: System, unit: str, units_changed: bool) -> None:
    """Have systemd restart a unit. units_changed: files of units were. HostError where it does not take that."""
    if units_changed:
        must_run(system, ["systemctl", "daemon-reload"])
    # After many starts that failed, it would refuse one more.
    system.run(["systemctl", "reset-failed", unit])
    # k3s says that it has started once it has, and has no limit of time for that: here is one, in wait_for.
    must_run(system, ["systemctl", "--no-block", "restart", unit])


def wait_for(system: System, unit: str, former: str, watch: Watch, clock: Clock) -> None:
    """Until a start of the unit other than the former one runs, and kube-proxy is as it should be.

    HostError with what is not so, and with what the journal says, where that does not come in time.
    """
    since, began = system.now(), clock.now()
    starts: Set[str] = set()
    while True:
        start = start_of(system, unit)
        starts.add(start)
        why = _not_there(system, start, former, watch)
        if not why:
            return
        if clock.now() - began >= watch.seconds:
            time_given = "within %d s" % watch.seconds
            break
        if len(starts - {"", former}) > _MOST_STARTS:
            time_given = "in %d starts" % _MOST_STARTS
            break
        clock.sleep(_PAUSE)
    said = _journal(system, unit, since)
    problem = "kube-proxy did not come up in the mode %s %s: %s" % (watch.mode, time_given, why)
    raise host_error(unit, "%s; the journal says: %s" % (problem, said) if said else problem)


def _not_there(system: System, start: str, former: str, watch: Watch) -> str:
    if not start:
        return "it does not run"
    if start == former:
        return "it has not started again"
    mode = proxy_mode(system, watch.metrics)
    if mode != watch.mode:
        return "%s/proxyMode says %s" % (watch.metrics, mode) if mode else "%s does not answer" % watch.metrics
    return health(system, watch.healthz) or ("" if is_programmed(system, watch.metrics) else _NOT_PROGRAMMED)


def _journal(system: System, unit: str, since: float) -> str:
    argv = ["journalctl", "--no-pager", "--quiet", "--output=cat", "--unit=" + unit, "--since=@%d" % (since - 1)]
    status, output, _error = system.run(argv)
    lines: List[str] = [line.strip()[:_LONGEST_LINE] for line in output.splitlines() if line.strip()]
    complaints: Sequence[str] = [line for line in lines if _COMPLAINT.search(line)]
    return "; ".join((complaints or lines)[-_MOST_LINES:]) if status == 0 else ""
