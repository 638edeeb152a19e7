# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a timer runs on a host: it looks at TCP as tcp_health_info does, and leaves metrics for node_exporter.

Knows nothing of Ansible. A part that fails has no metrics but the one that says so, and the time of the last success
stays where it was.

exporter.pyz
"""

from __future__ import annotations

import re
import sys
import time
from typing import Callable, Dict, Iterable, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_model import SETTINGS, ExporterSettings, load
from ansible_collections.netfleet.tcp.plugins.module_utils._health import look
from ansible_collections.netfleet.tcp.plugins.module_utils._health_metrics import health_metrics
from ansible_collections.netfleet.tcp.plugins.module_utils._metrics import PREFIX, Metric, by_label, gauge, of, render
from ansible_collections.netfleet.tcp.plugins.module_utils._recorded import tuning
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem, System
from ansible_collections.netfleet.tcp.plugins.module_utils._tuning_metrics import tuning_metrics

LAST_SUCCESS = "exporter_last_success_timestamp_seconds"
_LAST_SUCCESS = re.compile(r"^%s ([0-9.e+]+)$" % (PREFIX + LAST_SUCCESS), re.MULTILINE)


def main(_arguments: List[str]) -> int:
    """Exit status: 0 all was written, 1 something failed, which is on standard error."""
    system = LinuxSystem()
    try:
        failed = export(system)
    except (NetfleetError, OSError, ValueError) as error:
        failed = {"file": error}
    for part, why in failed.items():
        sys.stderr.write("%s: %s\n" % (part, why))
    return 1 if failed else 0


def export(system: System, clock: Callable[[], float] = time.perf_counter) -> Dict[str, Exception]:
    """Look, and put the metrics in place. Returns why parts of it have failed.

    HostError where the settings cannot be read, OSError where the metrics cannot be written, ValueError where the
    settings name something twice.
    """
    began = clock()
    text = system.read(SETTINGS)
    if text is None:
        raise host_error(SETTINGS, "cannot be read", "run the playbook monitoring again")
    settings = load(text)
    metrics, failed = _parts(system, settings)
    metrics.append(
        gauge(
            "group_info",
            "A group of the inventory that the host is in.",
            *(of(1, group=name) for name in settings.groups),
        )
    )
    metrics.append(gauge("exporter_interval_seconds", "How often the exporter looks.", of(settings.interval)))
    parts = {name: 0.0 if name in failed else 1.0 for name in ("sockets", "tuning")}
    metrics.append(gauge("exporter_success", "Whether this part of the last look succeeded.", *by_label(parts, "part")))
    last = _last_success(system.read(settings.text_file) or "") if failed else system.now()
    said = "When the exporter last looked at all there is."
    metrics.append(gauge(LAST_SUCCESS, said, *([] if last is None else [of(round(last, 3))])))
    metrics.append(gauge("exporter_duration_seconds", "How long the look took.", of(round(clock() - began, 4))))
    # By all, since node_exporter is not root.
    system.write_file(settings.text_file, render(metrics), 0o644)
    return failed


def _parts(system: System, settings: ExporterSettings) -> Tuple[List[Metric], Dict[str, Exception]]:
    """The metrics of each part, and why those that are missing are."""
    parts: Dict[str, Callable[[], Iterable[Metric]]] = {
        "sockets": lambda: health_metrics(look(system, settings.asked), settings.asked),
        "tuning": lambda: tuning_metrics(tuning(system), settings.top),
    }
    metrics: List[Metric] = []
    failed: Dict[str, Exception] = {}
    for name, part in parts.items():
        try:
            found = list(part())
            # What could not be written as text would keep the other part from being written too.
            render(found)
            metrics += found
        except Exception as error:  # noqa: BLE001 - whatever it is, the other part is worth having
            failed[name] = error
    return metrics, failed


def _last_success(text: str) -> Optional[float]:
    found = _LAST_SUCCESS.search(text)
    return float(found.group(1)) if found else None
