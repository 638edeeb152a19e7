# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook `monitoring` with systemd and Debian's node_exporter themselves, on a host of Debian 12 and one of 13.

One story in steps: each begins where the one before it has ended. What is scraped over time, and which alerts come of
it, is in tests/monitoring.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from testinfra.host import Host as Connection

from ansible_collections.netfleet.tcp.plugins.module_utils._node_exporter import COUNTERS, DIRECTORY_FLAG, FIELDS_FLAG
from tests.molecule.hosts import Seen, differences, look
from tests.molecule.monitoring import (
    NODE_EXPORTER,
    SERVICE,
    TEXT_FILE,
    TEXT_FILES,
    TIMER,
    Stand,
    changed,
    drop_in,
    flags_of,
    inside,
    properties,
    restart_node_exporter,
    run_monitoring,
    samples,
    scrape,
    start_node_exporter,
    starts,
    stop_node_exporter,
)
from tests.molecule.playbook import Run
from tests.waiting import until

T = TypeVar("T")
Before = tuple[dict[str, Stand], dict[str, Seen]]
NAMES = ["local1", "local2"]
# The least that the role takes.
INTERVAL = 15
LAST_SUCCESS = "netfleet_tcp_exporter_last_success_timestamp_seconds"
# Of its own, or nobody's file system.
IN_MEMORY = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue")  # noqa: S108
# What a process of the unit may try; refused with which errors.
ALLOWED = ("netlink socket", "others' files")
REFUSED = {
    "packet socket": ("EAFNOSUPPORT",),
    "raw socket": ("EPERM",),
    "namespace": ("EPERM",),
    "writable code": ("EPERM", "EACCES"),
    "clock": ("EPERM",),
    "sysctl": ("EACCES", "EROFS"),
}
# What somebody has set before: with the backslashes that its package's own words on this file ask for.
OWN = r"""ARGS="--no-collector.wifi --collector.netdev.device-exclude=^veth\\\\d+$"
"""
# What somebody's drop-ins make of node_exporter and of the exporter: the unit, its command, and words of the error.
REFUSES = 'case "$$*" in (*netstat*) echo unknown long flag >&2; exit 1;; esac; exec "$$@"'
DEAF = "node_exporter is not handed its flags"
FAULTS = {
    "node_exporter ends with its new flags": (
        NODE_EXPORTER,
        f"/bin/sh -c '{REFUSES}' sh /usr/bin/prometheus-node-exporter $ARGS",
        "unknown long flag",
    ),
    DEAF: (NODE_EXPORTER, "/usr/bin/prometheus-node-exporter", f"runs without {FIELDS_FLAG}"),
    "the exporter fails": (
        SERVICE,
        "/bin/sh -c 'echo no such luck >&2; exit 7'",
        "systemctl start fails: no such luck",
    ),
}


@pytest.fixture(scope="module")
def hosts(connections: dict[str, Connection]) -> dict[str, Connection]:
    return {name: connections[name] for name in NAMES}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module", autouse=True)
def untouched(hosts: dict[str, Connection], scratch: Path) -> Iterator[Before]:
    """What stands there while node_exporter runs, and nothing of ours does. In the end all of it stops."""
    for host in hosts.values():
        assert properties(host, NODE_EXPORTER, "ActiveState", "UnitFileState") == {
            "ActiveState": "inactive",
            "UnitFileState": "disabled",
        }
    try:
        on_all(hosts, lambda host: start_node_exporter(host, OWN))
        yield on_all(hosts, Stand.of), look(hosts)
    finally:
        run_monitoring(scratch, NAMES, tcp_monitoring_state="absent")
        on_all(hosts, stop_node_exporter)


@pytest.fixture(scope="module")
def applied(scratch: Path) -> Run:
    run = run_monitoring(scratch, NAMES, tcp_monitoring_interval=INTERVAL)
    assert (run.status, run.failed) == (0, []), run.output
    return run


def on_all(hosts: dict[str, Connection], ask: Callable[[Connection], T]) -> dict[str, T]:
    """What each of the hosts says, all at a time."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(hosts, pool.map(ask, hosts.values()), strict=True))


def check_untouched(hosts: dict[str, Connection], untouched: Before) -> None:
    stand, seen = untouched
    assert changed(stand, on_all(hosts, Stand.of)) == {}
    assert differences(seen, look(hosts)) == {}


def main_pid(host: Connection) -> str:
    return properties(host, NODE_EXPORTER, "MainPID")["MainPID"]


def check_flags(host: Connection, own: Sequence[str]) -> None:
    """Those that it needs, and those that it had."""
    flags = flags_of(host)
    assert set(own) <= set(flags)
    assert {word.partition("=")[0] for word in set(flags) - set(own)} == {DIRECTORY_FLAG, FIELDS_FLAG}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_leaves_the_host_as_it_was(
    fault: str,
    hosts: dict[str, Connection],
    untouched: Before,
    scratch: Path,
) -> None:
    unit, command, words = FAULTS[fault]
    earlier = "words of an earlier run"
    on_all(
        hosts, lambda host: host.check_output(f"systemd-run --quiet --wait --collect --unit={SERVICE} echo {earlier}")
    )
    with drop_in(list(hosts.values()), unit, "ExecStart=", f"ExecStart={command}"):
        run = run_monitoring(scratch, NAMES)
    if fault == DEAF:
        # Not its own ones either.
        on_all(hosts, restart_node_exporter)
    assert run.failed == NAMES, run.output
    for name in NAMES:
        problems = run.results[name]["problems"]
        assert words in problems[0], problems
        assert earlier not in problems[0], problems
        assert "everything was restored" in problems[-1], problems
    check_untouched(hosts, untouched)


def test_check_mode_tells_and_changes_nothing(hosts: dict[str, Connection], untouched: Before, scratch: Path) -> None:
    before = on_all(hosts, main_pid)
    run = run_monitoring(scratch, NAMES, "--check", "--diff")
    assert (run.status, run.changed) == (0, NAMES), run.output
    for name in NAMES:
        assert {TIMER, "/etc/default/prometheus-node-exporter"} <= set(run.changes(name))
        assert FIELDS_FLAG in run.diff(name)
    check_untouched(hosts, untouched)
    assert on_all(hosts, main_pid) == before


def test_the_first_run_changes_each_host_and_the_second_does_not(
    applied: Run, hosts: dict[str, Connection], scratch: Path
) -> None:
    assert applied.changed == NAMES
    before = on_all(hosts, main_pid)
    again = run_monitoring(scratch, NAMES, tcp_monitoring_interval=INTERVAL)
    assert (again.status, again.failed, again.changed) == (0, [], []), again.output
    assert on_all(hosts, main_pid) == before


@pytest.mark.usefixtures("applied")
def test_systemd_has_no_complaint_about_the_units(hosts: dict[str, Connection]) -> None:
    for host in hosts.values():
        done = host.run(f"systemd-analyze verify --man=no /etc/systemd/system/{SERVICE} /etc/systemd/system/{TIMER}")
        assert (done.rc, done.stdout, done.stderr) == (0, "", "")
        assert properties(host, TIMER, "ActiveState", "UnitFileState", "NeedDaemonReload") == {
            "ActiveState": "active",
            "UnitFileState": "enabled",
            "NeedDaemonReload": "no",
        }
        assert properties(host, SERVICE, "TriggeredBy", "Result") == {"TriggeredBy": TIMER, "Result": "success"}


def looked_since(host: Connection, seconds: float) -> bool:
    """Whether the exporter has succeeded since then (seconds since the epoch)."""
    return scrape(host)[LAST_SUCCESS] >= seconds


@pytest.mark.usefixtures("applied")
def test_the_timer_runs_it_again_and_again(hosts: dict[str, Connection]) -> None:
    before = {name: found[LAST_SUCCESS] for name, found in on_all(hosts, scrape).items()}
    for found in on_all(hosts, lambda host: starts(host, 3, 90)).values():
        for earlier, later in itertools.pairwise(found):
            assert INTERVAL - 1 <= (later - earlier) / 1e6 <= 2 * INTERVAL, found
    for name, host in hosts.items():
        assert properties(host, SERVICE, "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
        # The run that was just begun need not have written yet.
        until(partial(looked_since, host, before[name] + INTERVAL), 60, f"a newer look of {name}", 1)


@pytest.mark.usefixtures("applied")
def test_node_exporter_hands_on_all_that_the_exporter_writes(hosts: dict[str, Connection]) -> None:
    for host in hosts.values():
        assert host.check_output(f"stat --format='%a %U:%G' {TEXT_FILE}") == "644 root:root"
        written, scraped = samples(host.check_output(f"cat {TEXT_FILE}")), scrape(host)
        assert len(written) > 30
        assert set(written) <= set(scraped)
        assert scraped["node_textfile_scrape_error"] == 0
        parts = {name: value for name, value in scraped.items() if name.startswith("netfleet_tcp_exporter_success")}
        assert sorted(parts.values()) == [1, 1]


@pytest.mark.usefixtures("applied")
def test_node_exporter_has_the_counters_that_its_flags_ask_for(hosts: dict[str, Connection]) -> None:
    for host in hosts.values():
        there = {line.split()[0] for line in host.check_output("nstat -asz").splitlines()[1:]}
        wanted = {
            f"node_netstat_{group}_{name}"
            for group, names in COUNTERS.items()
            for name in names
            if f"{group}{name}" in there
        }
        assert len(wanted) > 20
        # Of those that it has by itself, some are not TCP's.
        assert wanted | {"node_netstat_Udp_InDatagrams", "node_netstat_Icmp_InMsgs"} <= set(scrape(host))


@pytest.mark.usefixtures("applied")
def test_the_unit_keeps_it_within_its_bounds(hosts: dict[str, Connection]) -> None:
    for host in hosts.values():
        assert properties(host, SERVICE, "CPUQuotaPerSecUSec", "MemoryMax", "TasksMax", "TimeoutStartUSec") == {
            "CPUQuotaPerSecUSec": "200ms",
            "MemoryMax": str(256 << 20),
            "TasksMax": "16",
            "TimeoutStartUSec": "30s",
        }
        found = inside(host)
        # CAP_DAC_OVERRIDE and CAP_SYS_PTRACE are 1 and 19.
        powers = f"{1 << 1 | 1 << 19:016x}"
        assert found["status"] == {"CapBnd": powers, "CapEff": powers, "NoNewPrivs": "1", "Seccomp": "2"}
        # Containers may have no controllers that could limit anything.
        bounds = {"cpu.max": "20000 100000", "memory.max": str(256 << 20), "pids.max": "16"}
        assert found["limits"].items() <= bounds.items()
        assert found["temporary"] == [], "a /tmp of its own"
        assert set(found["writes"]) == {TEXT_FILES, *IN_MEMORY}
        assert set(found["tries"]) == {*ALLOWED, *REFUSED}
        assert {found["tries"][name] for name in ALLOWED} == {"allowed"}
        assert {name: found["tries"][name] in errors for name, errors in REFUSED.items()} == dict.fromkeys(
            REFUSED, True
        )


@pytest.mark.usefixtures("applied")
def test_flags_and_timer_outlast_restarts(hosts: dict[str, Connection], untouched: Before) -> None:
    for name, host in hosts.items():
        own = untouched[0][name].flags
        assert len(own) == 2
        check_flags(host, own)
        # As at a boot: what is enabled is started with its target.
        host.check_output(f"systemctl stop {TIMER} && systemctl daemon-reexec && systemctl restart timers.target")
        host.check_output(f"systemctl is-active {TIMER}")
        before = main_pid(host)
        host.check_output(f"systemctl daemon-reload && systemctl restart {NODE_EXPORTER}")
        assert main_pid(host) != before
        check_flags(host, own)
        assert {"node_netstat_TcpExt_TCPOrigDataSent", "netfleet_tcp_exporter_interval_seconds"} <= set(scrape(host))


@pytest.mark.usefixtures("applied")
def test_taken_away_each_host_is_what_it_was(hosts: dict[str, Connection], untouched: Before, scratch: Path) -> None:
    # One that has failed at last is not to be remembered as that either.
    with drop_in(list(hosts.values()), SERVICE, "ExecStart=", "ExecStart=/bin/false"):
        on_all(hosts, lambda host: host.run(f"systemctl start {SERVICE}"))
    for host in hosts.values():
        assert properties(host, SERVICE, "ActiveState") == {"ActiveState": "failed"}
    run = run_monitoring(scratch, NAMES, tcp_monitoring_state="absent")
    assert (run.status, run.failed, run.changed) == (0, [], NAMES), run.output
    check_untouched(hosts, untouched)
    for found in on_all(hosts, scrape).values():
        assert not [name for name in found if name.startswith("netfleet_") or "TCPOrigDataSent" in name]
    again = run_monitoring(scratch, NAMES, tcp_monitoring_state="absent")
    assert (again.status, again.failed, again.changed) == (0, [], []), again.output
