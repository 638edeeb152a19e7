# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Realistic drift reports for the tests of every format: a small one by hand, large ones of any size, hostile ones.

Deterministic: the same arguments give the same report.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Waiver
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import (
    DRIFT,
    FAILED,
    IN_STEP,
    UNREACHABLE,
    HostState,
    Report,
    compare,
)

OWN_FILE = "/etc/sysctl.d/90-netfleet-tcp.conf"
FIN_TIMEOUT = "net.ipv4.tcp_fin_timeout"
CONGESTION = "net.ipv4.tcp_congestion_control"
RMEM = "net.ipv4.tcp_rmem"
SUBJECTS = ("sysctl", "congestion_control", "module", "qdisc", "route", "file", "owner", "tunnel", "kube_proxy")
CHECKED = {"sysctl": 24, "congestion_control": 1, "module": 2, "qdisc": 1, "route": 3, "file": 4, "owner": 5}
KERNELS = ("5.10.0-33-amd64", "6.1.0-27-amd64", "6.12.9+deb13-amd64")
PROFILES = ("local", "cloud", "wan", "edge")
WAIVER = Waiver("the vendor's agent needs it until its release 9 (NET-4711)", "2027-01-31")


def _retuned_by_hand(host: str, running: str = "60") -> Finding:
    return Finding(
        subject="sysctl",
        key=FIN_TIMEOUT,
        severity="error",
        reason="was set to %s after the last tuning run" % running,
        intended="30",
        running=running,
        boot="30",
        source=OWN_FILE + ":12",
        takes_effect="now",
        cure="run tune.yml on the host",
        rule=rules.SYSCTL_RUNNING,
        host=host,
    )


def _file_wins_boot(host: str) -> Finding:
    place = "/etc/sysctl.d/99-vendor agent.conf:3"
    return Finding(
        subject="sysctl",
        key=RMEM,
        severity="error",
        reason="%s sets 4096 87380 6291456 and wins at the next boot" % place,
        intended="4096\t131072\t67108864",
        running="4096\t131072\t67108864",
        boot="4096\t87380\t6291456",
        source=place,
        takes_effect="reboot",
        cure="take the line out of the file, or declare the value",
        rule=rules.SYSCTL_BOOT,
        owner="package vendor-agent",
        host=host,
    )


def _lost_congestion_control(host: str) -> Finding:
    return Finding(
        subject="congestion_control",
        key=CONGESTION,
        severity="error",
        reason="new sockets get cubic: module tcp_bbr is not loaded",
        intended="bbr",
        running="cubic",
        boot="bbr",
        source=OWN_FILE + ":7",
        takes_effect="new sockets",
        cure="run tune.yml on the host",
        rule=rules.CONGESTION_CONTROL,
        host=host,
    )


def _qdisc(host: str, interface: str = "eth0") -> Finding:
    return Finding(
        subject="qdisc",
        key=interface,
        severity="warning",
        reason="the qdisc was replaced after the last tuning run",
        intended="fq",
        running="pfifo_fast",
        takes_effect="now",
        cure="run tune.yml on the host",
        rule=rules.QDISC_RUNNING,
        host=host,
    )


def _route(host: str) -> Finding:
    return Finding(
        subject="route",
        key="10.20.0.0/16 dev wg0",
        severity="warning",
        reason="the route (protocol static) names reno",
        intended="bbr",
        running="reno",
        takes_effect="new sockets",
        cure="remove congctl from the route, or declare it",
        rule=rules.ROUTE_OVERRIDE,
        owner="protocol static",
        host=host,
    )


def _shadow(host: str) -> Finding:
    return Finding(
        subject="sysctl",
        key="net.core.somaxconn",
        severity="note",
        reason="/usr/lib/sysctl.d/50-default.conf:18 sets 128, which %s:9 beats at boot" % OWN_FILE,
        intended="4096",
        running="4096",
        boot="4096",
        source="/usr/lib/sysctl.d/50-default.conf:18",
        cure="take the line out of the file",
        rule=rules.SYSCTL_SHADOW,
        owner="package procps",
        host=host,
    )


def _tuned(host: str) -> Finding:
    return Finding(
        subject="owner",
        key="tuned",
        severity="warning",
        reason="profile network-latency sets net.ipv4.tcp_fastopen to 3 each time that it starts",
        intended="1",
        running="1",
        source="/usr/lib/tuned/network-latency/tuned.conf:22",
        takes_effect="now",
        cure="systemctl disable --now tuned, or declare what it sets",
        rule=rules.OWNER_ACTIVE,
        owner="service tuned",
        host=host,
    )


def _unreachable(host: str) -> Finding:
    return Finding(
        subject="host",
        key=host,
        severity="error",
        reason="ssh: connect to host %s port 22: Connection timed out" % host,
        cure="see that the host is up and that ssh answers, then check again",
        rule=rules.HOST_UNREACHABLE,
        host=host,
    )


def _failed(host: str) -> Finding:
    return Finding(
        subject="host",
        key=host,
        severity="error",
        reason="/usr/bin/python3: not found",
        cure="install python3 on the host",
        rule=rules.HOST_FAILED,
        host=host,
    )


def _waived(finding: Finding) -> Finding:
    return replace(finding, waiver=WAIVER)


def _state(name: str, status: str, profile: str, groups: Tuple[str, ...] = (), kernel: str = KERNELS[1]) -> HostState:
    asked = status in (IN_STEP, DRIFT)
    return HostState(
        name=name,
        status=status,
        profile=profile,
        kernel=kernel if asked else "",
        groups=groups or (profile,),
        checked=dict(CHECKED) if asked else {},
    )


def _report(hosts: Tuple[HostState, ...], findings: Tuple[Finding, ...], **more: str) -> Report:
    order = {host.name: index for index, host in enumerate(hosts)}
    return Report(
        started=more.get("started", "2026-11-22T06:00:01Z"),
        finished=more.get("finished", "2026-11-22T06:00:09Z"),
        threshold="warning",
        hosts=hosts,
        findings=tuple(sorted(findings, key=lambda finding: order[finding.host])),
        version="1.1.0",
        subjects=SUBJECTS,
    )


def clean_report() -> Report:
    """Two hosts, both in step, nothing to say."""
    return _report((_state("local1", IN_STEP, "local"), _state("cloud1", IN_STEP, "cloud")), ())


def small_report() -> Report:
    """Eight hosts with one of each: drift alone and shared, boot conflict, waived, note, unreachable, failed."""
    hosts = (
        _state("local1", IN_STEP, "local"),
        _state("local2", IN_STEP, "local", kernel=KERNELS[2]),
        _state("cloud1", DRIFT, "cloud"),
        _state("cloud2", DRIFT, "cloud", kernel=KERNELS[2]),
        _state("cloud10", DRIFT, "cloud"),
        _state("edge1", IN_STEP, "edge", ("edge", "paris")),
        _state("edge2", UNREACHABLE, "edge", ("edge", "paris")),
        _state("edge3", FAILED, "edge", ("edge", "lyon")),
    )
    findings = (
        _shadow("local1"),
        _shadow("local2"),
        _retuned_by_hand("cloud1"),
        _file_wins_boot("cloud1"),
        _retuned_by_hand("cloud2"),
        _file_wins_boot("cloud2"),
        _lost_congestion_control("cloud2"),
        _qdisc("cloud2"),
        _retuned_by_hand("cloud10", "15"),
        _route("cloud10"),
        _tuned("cloud10"),
        _waived(_file_wins_boot("edge1")),
        _unreachable("edge2"),
        _failed("edge3"),
    )
    return _report(hosts, findings)


def compared_report() -> Report:
    """The small report with a comparison: one finding new, one gone, the others still there."""
    now = small_report()
    before = [finding for finding in now.findings if finding.rule != rules.ROUTE_OVERRIDE]
    before.append(replace(_retuned_by_hand("local1"), key="net.ipv4.tcp_tw_reuse", intended="2", running="1", boot="2"))
    earlier = _report(now.hosts, tuple(before), started="2026-11-21T06:00:01Z", finished="2026-11-21T06:00:08Z")
    return replace(now, comparison=compare(earlier, now))


# One of each group in the small report, most of them on many hosts in a large one; what only few hosts have is made by
# _rare. The weight is the share of the hosts that are asked.
_COMMON = (
    (_retuned_by_hand, 0.55),
    (_file_wins_boot, 0.9),
    (_lost_congestion_control, 0.3),
    (_qdisc, 0.5),
    (_route, 0.05),
    (_shadow, 1.0),
    (_tuned, 0.2),
)
_RARE_KEYS = (
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.core.netdev_max_backlog",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_timestamps",
)


def _rare(host: str, number: int, chance: random.Random) -> Finding:
    """A changed key: mostly to one of few values that many hosts share, now and then to one of its own."""
    key = _RARE_KEYS[number % len(_RARE_KEYS)]
    # Beyond one finding a key, other keys: an identity (host, rule, subject, key) never stands twice.
    round_ = number // len(_RARE_KEYS)
    shared, own = 1 << (8 + number % 5) << chance.randrange(2), chance.randrange(1, 1 << 20)
    return Finding(
        subject="sysctl",
        key=key if round_ == 0 else "net.ipv4.conf.eth%d.%s" % (round_ - 1, key.rpartition(".")[2]),
        severity=("error", "warning", "note", "error")[number % 4],
        reason="was changed after the last tuning run",
        intended=str(1 << (4 + number % 9)),
        running=str(shared if chance.random() < 0.9 else own),
        boot=str(1 << (4 + number % 9)),
        source="%s:%d" % (OWN_FILE, 5 + 3 * number),
        takes_effect=("now", "new sockets", "new listeners")[number % 3],
        cure="run tune.yml on the host",
        rule=rules.SYSCTL_RUNNING,
        owner=("", "", "service tuned", "package vendor-agent")[number % 4] if chance.random() < 0.2 else "",
        host=host,
    )


def _large_states(count: int, chance: random.Random) -> List[HostState]:
    states = []
    for index in range(count):
        profile = PROFILES[index % len(PROFILES)]
        site = "site%02d" % (index // len(PROFILES) % 12)
        draw = chance.random()
        status = UNREACHABLE if draw < 0.015 else FAILED if draw < 0.02 else IN_STEP if draw < 0.15 else DRIFT
        name = "%s-web%d.example.net" % (profile, index + 1)
        states.append(_state(name, status, profile, (profile, site), KERNELS[index % len(KERNELS)]))
    return states


def _common_findings(host: str, chance: random.Random) -> List[Finding]:
    findings = [make(host) for make, weight in _COMMON if chance.random() < weight]
    if chance.random() < 0.1:
        findings = [_waived(finding) if finding.rule == rules.SYSCTL_BOOT else finding for finding in findings]
    return findings


def large_report(hosts: int = 1000, findings: int = 20000, compared: bool = False) -> Report:
    """A fleet of that many hosts with exactly that many findings (at least one of each host that was not asked).

    About 2 % of the hosts were not asked, 13 % are in step. compared: with a comparison to an earlier report, which
    lacks about a tenth of the findings and has some that are gone.
    """
    chance = random.Random(20261122)
    states = _large_states(hosts, chance)
    by_host: Dict[str, List[Finding]] = {}
    asked = [state.name for state in states if state.status == DRIFT]
    left = findings
    for state in states:
        if state.status == DRIFT:
            made = _common_findings(state.name, chance)[: max(left, 0)]
        elif state.status == IN_STEP:
            made = [_shadow(state.name)][: max(left, 0)]
        else:
            made = [_unreachable(state.name) if state.status == UNREACHABLE else _failed(state.name)]
        by_host[state.name] = made
        left -= len(made)
    for number in range(max(left, 0)):
        host = asked[number % len(asked)]
        by_host[host].append(_rare(host, number // len(asked), chance))
    report = _settled(states, by_host)
    return replace(report, comparison=compare(_earlier(report, chance), report)) if compared else report


def _settled(states: List[HostState], by_host: Dict[str, List[Finding]]) -> Report:
    """The report; a host of which no finding counts is in step."""
    report = _report(tuple(states), tuple(finding for found in by_host.values() for finding in found))
    drifted = {finding.host for finding in report.findings if report.counts(finding)}
    settled = (
        replace(state, status=IN_STEP) if state.status == DRIFT and state.name not in drifted else state
        for state in states
    )
    return replace(report, hosts=tuple(settled))


def _earlier(report: Report, chance: random.Random) -> Report:
    kept = [finding for finding in report.findings if chance.random() < 0.9]
    gone = [
        replace(_retuned_by_hand(host.name), key="net.ipv4.tcp_tw_reuse", intended="2", running="1", boot="2")
        for host in report.hosts
        if host.status in (IN_STEP, DRIFT) and chance.random() < 0.05
    ]
    return replace(report, findings=tuple(kept + gone), finished="2026-11-21T06:00:08Z", comparison=None)


# What a host can put into a value, a file's name or a reason. Each must show as text in every format.
HOSTILE: Tuple[str, ...] = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!-- <![CDATA[ ]]> -->",
    "a|b|c \\| d",
    "`code` ```fence``` ``",
    "line 1\nline 2\r\nline 3\u2028line 4\x85line 5",
    "nul \x00 bell \x07 escape \x1b[31mred\x1b[0m delete \x7f",
    "lone \ud800 surrogate \udcff",
    "right \u202eto left\u2066 and\u200b back\u200f",
    "@octocat #1 ![x](https://example.net/x.png) [y](javascript:alert(1)) https://example.net www.example.net",
    "**bold** _it_ ~~gone~~ # heading\n- item\n> quote",
    "&lt;b&gt; &amp; & \" ' < >",
    "emoji \U0001f600 \ufffe \uffff",
    "%2e%2e/../../etc/passwd?x#y",
    "x" * 10000,
    "",
    "   ",
)


def hostile_report(values: Tuple[str, ...] = HOSTILE, host: Optional[str] = None) -> Report:
    """A report in which every value that a host or an inventory can choose is hostile; host: its name, if given."""
    names = [host or "host%d %s" % (index, value) for index, value in enumerate(values)]
    states = tuple(HostState(name, DRIFT, name, name, (name,), dict(CHECKED)) for name in dict.fromkeys(names))
    findings = tuple(
        Finding(
            subject=rules.SUBJECTS[index % len(rules.SUBJECTS)],
            key=value,
            severity=rules.SEVERITIES[index % len(rules.SEVERITIES)],
            reason=value,
            intended=value,
            running=value,
            boot=value,
            source="/etc/sysctl.d/%s:%d" % (value, index + 1),
            takes_effect=value,
            cure=value,
            rule=rules.RULES[index % len(rules.RULES)].id,
            owner=value,
            host=name,
            waiver=Waiver(value, "2027-01-31") if index % 4 == 3 else None,
        )
        for index, (value, name) in enumerate(zip(values, names))
    )
    return _report(states, findings)
