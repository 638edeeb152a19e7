# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import INDEX, POSITION, check_value
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Baseline,
    Interface,
    KeyState,
    ModuleState,
    Observed,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import Intent, bare_intent, compose, values_intent
from ansible_collections.netfleet.tcp.plugins.module_utils._profiles import PROFILES, WORKLOADS
from ansible_collections.netfleet.tcp.plugins.module_utils._resolve import (
    CONGESTION_CONTROL,
    DEFAULT_QDISC,
    PORT_RANGE,
    RESERVED_PORTS,
    Resolved,
    keys_to_observe,
    modules_to_observe,
    resolve,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import token

RMEM, WMEM, RMEM_MAX = "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", "net.core.rmem_max"
SOMAXCONN = "net.core.somaxconn"
CONNTRACK = "net.netfilter.nf_conntrack_max"
TFO_KEY = "net.ipv4.tcp_fastopen_key"
GIB = 1 << 30
ABSENT = "this kernel has no such key here"
RUNNING = {
    RMEM: "4096 131072 6291456",
    WMEM: "4096 16384 4194304",
    RMEM_MAX: "212992",
    "net.core.wmem_max": "212992",
    CONGESTION_CONTROL: "cubic",
    DEFAULT_QDISC: "fq_codel",
    PORT_RANGE: "32768 60999",
    RESERVED_PORTS: "",
    SOMAXCONN: "4096",
}
NIC = Interface("eth0", True, True, 1500, 1, "fq_codel")


def intent(profile: str = "cloud", **policy: Any) -> Intent:
    return compose({"profile": profile, **policy})


def host(wanted: Intent, running: dict[str, str | None] | None = None, **more: Any) -> Observed:
    """A Debian virtual machine that has every key; running overrides their values, None takes the key away."""
    given_values: dict[str, str | None] = dict.fromkeys(keys_to_observe(wanted), "0")
    given_values.update({name: value for name, value in RUNNING.items() if name in given_values})
    given_values.update(running or {})
    values: dict[str, Any] = {
        "kernel": "6.1",
        "memory": 16 * GIB,
        "root": True,
        "systemd": True,
        "reader": "systemd-sysctl",
        "child_netns": False,
        "keys": {
            name: KeyState(name, value, "" if value is not None else ABSENT) for name, value in given_values.items()
        },
        "files": {},
        "modules": {name: ModuleState(name, loadable=True) for name in modules_to_observe(wanted)},
        "interfaces": (NIC,),
        "qdisc_kinds": {"fq": True, "fq_codel": True, "sfq": True},
        "available_congestion_control": ("reno", "cubic"),
        "allowed_congestion_control": ("reno", "cubic"),
    }
    return Observed(**{**values, **more})


def value(resolved: Resolved, key: str) -> str | None:
    return {choice.key: choice.value for choice in resolved.choices}.get(key)


def reason(resolved: Resolved, key: str) -> str:
    return {choice.key: choice.reason for choice in resolved.choices}[key]


def said(resolved: Resolved) -> list[tuple[str, str]]:
    return [(finding.key, finding.severity) for finding in resolved.findings]


# Buffers


@pytest.mark.parametrize(
    ("profile", "maximum"), [("local", 16 << 20), ("cloud", 64 << 20), ("wan", 128 << 20), ("edge", 16 << 20)]
)
def test_buffers_follow_from_the_profiles_link(profile: str, maximum: int) -> None:
    wanted = intent(profile)
    found = resolve(wanted, host(wanted))
    assert value(found, RMEM) == "4096 131072 %d" % maximum
    assert value(found, WMEM) == "4096 16384 %d" % maximum
    assert value(found, RMEM_MAX) == str(maximum)
    assert "2 x BDP of" in reason(found, RMEM)


def test_buffers_follow_from_bandwidth_and_rtt() -> None:
    wanted = intent(bandwidth="1Gbit", rtt="10ms")
    found = resolve(wanted, host(wanted, {RMEM: "4096 131072 1048576"}))
    assert value(found, RMEM) == "4096 131072 4194304"
    assert reason(found, RMEM) == "max: 2 x BDP of 1 Gbit/s x 10 ms (1.19 MiB), up to a power of two"


@pytest.mark.parametrize(
    ("memory", "share", "maximum"),
    [(512 << 20, 0.05, 16 << 20), (512 << 20, 0.5, 64 << 20), (16 * GIB, 0.05, 64 << 20), (0, 0.05, 64 << 20)],
)
def test_a_buffer_keeps_to_its_share_of_the_memory(memory: int, share: float, maximum: int) -> None:
    wanted = intent(memory_share=share)
    found = resolve(wanted, host(wanted, memory=memory))
    assert value(found, RMEM) == "4096 131072 %d" % maximum
    assert ("memory, where 2 x BDP would be 64 MiB" in reason(found, RMEM)) == (maximum < 64 << 20)


def test_the_maximum_is_never_below_the_default() -> None:
    wanted = intent(bandwidth="1Mbit", rtt="1ms", force=True)
    found = resolve(wanted, host(wanted, {RMEM: "4096 131072 6291456"}))
    assert value(found, RMEM) == "4096 131072 131072"


@pytest.mark.parametrize(
    ("override", "severity"),
    [("4096 131072 1073741824", [(RMEM, "warning")]), ("4096 131072 67108864", []), ("4096 131072 33554432", [])],
)
def test_an_override_that_only_fills_queues_is_warned_of(override: str, severity: list[tuple[str, str]]) -> None:
    wanted = intent(overrides={RMEM: override})
    assert said(resolve(wanted, host(wanted))) == severity


@pytest.mark.parametrize(("maximum", "warned"), [(1 << 22, False), ((1 << 22) + 4096, True)])
def test_up_to_4_mib_fill_no_queue_worth_a_warning(maximum: int, warned: bool) -> None:
    wanted = intent(bandwidth="1Mbit", rtt="1ms", overrides={RMEM: "4096 131072 %d" % maximum})
    assert ((RMEM, "warning") in said(resolve(wanted, host(wanted, {RMEM: "4096 4096 4096"})))) is warned


# Never lower than the kernel's own


@pytest.mark.parametrize(
    ("running", "baseline", "force", "resolved"),
    [
        ("4096", {}, False, "32768"),
        ("65535", {}, False, "65535"),
        ("65535", {}, True, "32768"),
        # What counts is the value from before us, not the one that an earlier run of ours set.
        ("65535", {SOMAXCONN: "4096"}, False, "32768"),
        ("4096", {SOMAXCONN: "65535"}, False, "65535"),
        ("0x10000", {}, False, "65536"),
    ],
)
def test_what_is_higher_stays(running: str, baseline: dict[str, str], force: bool, resolved: str) -> None:
    wanted = intent(workloads=["many_connections"], force=force)
    found = resolve(wanted, host(wanted, {SOMAXCONN: running}, baseline=Baseline(keys=baseline)))
    assert value(found, SOMAXCONN) == resolved
    assert ("is higher and stays" in reason(found, SOMAXCONN)) == (resolved not in ("32768",))
    assert (SOMAXCONN, "warning") not in said(found)


def test_vectors_are_kept_field_by_field() -> None:
    wanted = intent(overrides={RMEM: "8192 65536 1048576"})
    found = resolve(wanted, host(wanted, {RMEM: "4096 131072 33554432"}))
    assert value(found, RMEM) == "8192 131072 33554432"
    assert (RMEM, "warning") in said(found), "an override that is not obeyed is said"


def test_only_keys_that_may_not_be_lowered_are_kept() -> None:
    wanted = intent()
    found = resolve(wanted, host(wanted, {"net.ipv4.tcp_keepalive_time": "7200"}))
    assert value(found, "net.ipv4.tcp_keepalive_time") == "120"


@given(
    st.sampled_from(sorted(PROFILES)),
    st.lists(st.integers(4096, GIB), min_size=3, max_size=3).map(sorted),
    st.integers(128 << 20, 1 << 40),
)
def test_buffers_are_valid_and_never_lower(profile: str, own: list[int], memory: int) -> None:
    wanted = intent(profile)
    text = " ".join(str(number) for number in own)
    found = value(resolve(wanted, host(wanted, {RMEM: text}, memory=memory)), RMEM)
    assert found
    assert check_value(RMEM, found, "x") == (found, [])
    assert all(int(new) >= old for new, old in zip(found.split(), own))


# Congestion control


@pytest.mark.parametrize(
    ("preferences", "observed", "algorithm", "modules"),
    [
        (["bbr", "cubic"], {"tcp_bbr": ModuleState("tcp_bbr", loadable=True)}, "bbr", ("tcp_bbr",)),
        (["bbr", "cubic"], {"tcp_bbr": ModuleState("tcp_bbr", loaded=True)}, "bbr", ("tcp_bbr",)),
        (["bbr", "cubic"], {"tcp_bbr": ModuleState("tcp_bbr", builtin=True)}, "bbr", ()),
        (["bbr", "cubic"], {"tcp_bbr": ModuleState("tcp_bbr")}, "cubic", ()),
        (["bbr", "cubic"], {}, "cubic", ()),
        (["htcp", "bbr"], {"tcp_bbr": ModuleState("tcp_bbr", loadable=True)}, "bbr", ("tcp_bbr",)),
        # In a kernel without modules it is only listed as available.
        (["reno"], {}, "reno", ()),
    ],
)
def test_the_first_algorithm_that_the_host_has(
    preferences: list[str], observed: dict[str, ModuleState], algorithm: str, modules: tuple[str, ...]
) -> None:
    wanted = intent("local", congestion_control=preferences)
    found = resolve(wanted, host(wanted, modules=observed))
    assert (found.congestion_control, value(found, CONGESTION_CONTROL)) == (algorithm, algorithm)
    assert found.modules == modules
    passed = preferences[: preferences.index(algorithm)]
    assert said(found) == ([(CONGESTION_CONTROL, "note")] if passed else [])


@pytest.mark.parametrize(("unsupported", "severity"), [("fail", "error"), ("warn", "warning"), ("skip", "note")])
def test_no_algorithm_at_all(unsupported: str, severity: str) -> None:
    wanted = intent("local", congestion_control=["vegas"], unsupported=unsupported)
    found = resolve(wanted, host(wanted, modules={}))
    assert said(found) == [(CONGESTION_CONTROL, severity)]
    assert found.findings[0].reason == "none of vegas: this host has reno, cubic"
    assert "install a kernel with the module" in found.findings[0].cure
    assert (found.congestion_control, value(found, CONGESTION_CONTROL)) == ("", None)


@pytest.mark.parametrize(
    ("allowed", "algorithm"), [(("reno", "bbr"), "bbr"), (("reno", "cubic"), "cubic"), (("reno",), "")]
)
def test_a_container_takes_what_its_host_allows(allowed: tuple[str, ...], algorithm: str) -> None:
    wanted = intent(qdisc="none", unsupported="warn")
    modules = {"tcp_bbr": ModuleState("tcp_bbr", loaded=True)}
    found = resolve(wanted, host(wanted, child_netns=True, modules=modules, allowed_congestion_control=allowed))
    assert found.congestion_control == algorithm
    assert found.modules == (), "a container loads no module"
    if not algorithm:
        assert "this host has reno" in found.findings[0].reason
        assert "allow it on the container's host" in found.findings[0].cure


def test_a_key_that_cannot_be_set_needs_no_module() -> None:
    wanted = intent("local", congestion_control=["bbr"], unsupported="warn")
    observed = host(wanted)
    keys = {
        **observed.keys,
        CONGESTION_CONTROL: KeyState(CONGESTION_CONTROL, "cubic", "/proc/sys is mounted read-only"),
    }
    found = resolve(wanted, replace(observed, keys=keys))
    assert (found.congestion_control, found.modules) == ("", ())
    assert said(found) == [(CONGESTION_CONTROL, "warning")]


# Qdiscs


@pytest.mark.parametrize(
    ("interface", "names", "wanted"),
    [
        (NIC, ["auto"], True),
        (replace(NIC, qdisc="fq"), ["auto"], True),
        (replace(NIC, qdisc="mq", queues=2, leaves=("fq_codel", "fq_codel")), ["auto"], True),
        (replace(NIC, up=False), ["auto"], False),
        (replace(NIC, physical=False), ["auto"], False),
        (replace(NIC, qdisc="noqueue"), ["auto"], False),
        # Somebody built these.
        (replace(NIC, qdisc="htb", handle="1:"), ["auto"], False),
        (replace(NIC, qdisc="mq", queues=2, leaves=("fq_codel", "tbf")), ["auto"], False),
        # Named, they are taken.
        (replace(NIC, qdisc="htb", handle="1:"), ["eth0"], True),
        (replace(NIC, up=False, physical=False, qdisc="noqueue"), ["eth0"], True),
        (replace(NIC, qdisc="htb", handle="1:"), ["auto", "eth0"], True),
    ],
)
def test_interfaces(interface: Interface, names: list[str], wanted: bool) -> None:
    declared = intent(qdisc_interfaces=names)
    found = resolve(declared, host(declared, interfaces=(interface, replace(NIC, name="lo", physical=False))))
    assert [(qdisc.interface, qdisc.kind) for qdisc in found.qdiscs] == ([("eth0", "fq")] if wanted else [])
    assert value(found, DEFAULT_QDISC) == "fq"
    assert reason(found, DEFAULT_QDISC) == "paces bbr/cubic"
    assert found.modules == ("sch_fq", "tcp_bbr")


def test_a_foreign_qdisc_that_is_left_alone_is_noted() -> None:
    wanted = intent()
    found = resolve(wanted, host(wanted, interfaces=(replace(NIC, qdisc="htb"),)))
    assert said(found) == [("eth0", "note")]
    assert found.findings[0].reason == "has htb, which somebody built for it; left alone"
    assert "tcp_tuning_qdisc_interfaces" in found.findings[0].cure


def test_the_wanted_qdisc_is_never_foreign() -> None:
    wanted = intent(qdisc="cake")
    observed = host(wanted, interfaces=(replace(NIC, qdisc="cake"),), qdisc_kinds={"cake": True})
    found = resolve(wanted, observed)
    assert [(qdisc.kind, qdisc.reason) for qdisc in found.qdiscs] == [("cake", "as declared")]
    assert said(found) == []


@pytest.mark.parametrize(
    ("policy", "more", "key", "text"),
    [
        ({"qdisc_interfaces": ["eth9"]}, {}, "eth9", "there is no such interface"),
        ({}, {"qdisc_kinds": {"fq": False}}, DEFAULT_QDISC, "this host has no qdisc fq"),
        ({}, {"systemd": False}, "qdisc", "without systemd the qdisc of live interfaces does not outlast a boot"),
    ],
)
@pytest.mark.parametrize(("unsupported", "severity"), [("fail", "error"), ("warn", "warning"), ("skip", "note")])
def test_qdiscs_that_cannot_be_had(
    policy: dict[str, Any], more: dict[str, Any], key: str, text: str, unsupported: str, severity: str
) -> None:
    wanted = intent(unsupported=unsupported, **policy)
    found = resolve(wanted, host(wanted, **more))
    assert said(found) == [(key, severity)]
    assert text in found.findings[0].reason
    assert found.findings[0].cure


def test_no_qdisc_leaves_interfaces_and_default_alone() -> None:
    wanted = intent(qdisc="none")
    found = resolve(wanted, host(wanted))
    assert (found.qdiscs, value(found, DEFAULT_QDISC), found.modules) == ((), None, ("tcp_bbr",))


# Reserved ports


@pytest.mark.parametrize(
    ("policy", "running", "listeners", "baseline", "reserved"),
    [
        # Only a wider range needs it, and only for listeners that the old one would not have hit.
        ({}, "", (22, 11211, 40000), {}, None),
        ({"workloads": ["loopback_short"]}, "", (22, 11211, 11212, 40000, 65000), {}, "11211-11212,65000"),
        ({"workloads": ["loopback_short"]}, "", (22, 40000), {}, None),
        # What is reserved stays so.
        ({"workloads": ["loopback_short"]}, "9000", (11211,), {}, "9000,11211"),
        ({"workloads": ["loopback_short"]}, "11211", (), {RESERVED_PORTS: "", PORT_RANGE: "32768 60999"}, "11211"),
        # By the range from before us, not the one that we set.
        ({"workloads": ["loopback_short"]}, "11211", (11211,), {PORT_RANGE: "32768 60999"}, "11211"),
        ({"reserved_ports": [8080, "9000-9010"]}, "", (), {}, "8080,9000-9010"),
        ({"reserved_ports": [8080]}, "9000", (), {}, "8080,9000"),
        ({"overrides": {RESERVED_PORTS: "7000"}}, "9000", (), {}, "7000,9000"),
        # Taken out of the declaration, a port is given back; what was reserved before us is not.
        ({"reserved_ports": [9001]}, "80,9000-9001", (), {RESERVED_PORTS: "80"}, "80,9001"),
        ({"overrides": {RESERVED_PORTS: "7000"}}, "7000-7001", (), {RESERVED_PORTS: ""}, "7000"),
        ({"overrides": {RESERVED_PORTS: "7000"}, "reserved_ports": [8080]}, "", (), {}, "7000,8080"),
    ],
)
def test_reserved_ports(
    policy: dict[str, Any], running: str, listeners: tuple[int, ...], baseline: dict[str, str], reserved: str | None
) -> None:
    wanted = intent(**policy)
    present: dict[str, str | None] = {RESERVED_PORTS: running}
    if PORT_RANGE in baseline:
        present[PORT_RANGE] = "10240 65535"
    observed = host(wanted, present, listeners=listeners, baseline=Baseline(keys=baseline))
    assert value(resolve(wanted, observed), RESERVED_PORTS) == reserved


def test_reserved_ports_settle() -> None:
    """The run after the first finds its own values, listeners come and go, and nothing changes any more."""
    wanted = intent(workloads=["loopback_short"])
    first = resolve(wanted, host(wanted, listeners=(11211,)))
    ours = {key.name: key.value for key in first.keys}
    recorded = Baseline(keys={RESERVED_PORTS: "", PORT_RANGE: "32768 60999"})
    for listeners in ((11211,), (), (22, 11211)):
        again = resolve(wanted, host(wanted, dict(ours), listeners=listeners, baseline=recorded))
        assert value(again, RESERVED_PORTS) == "11211"


# What the host cannot do


@pytest.mark.parametrize(("unsupported", "severity"), [("fail", "error"), ("warn", "warning"), ("skip", "note")])
@pytest.mark.parametrize("limit", [ABSENT, "the key is read-only here"])
def test_a_key_that_cannot_be_set(unsupported: str, severity: str, limit: str) -> None:
    wanted = intent("local", overrides={SOMAXCONN: 8192}, unsupported=unsupported)
    observed = host(wanted)
    running = None if limit == ABSENT else "4096"
    found = resolve(wanted, replace(observed, keys={**observed.keys, SOMAXCONN: KeyState(SOMAXCONN, running, limit)}))
    assert said(found) == [(SOMAXCONN, severity)]
    assert (found.findings[0].reason, found.findings[0].intended) == (limit, "8192")
    assert "set tcp_tuning_unsupported to warn or skip" in found.findings[0].cure
    assert value(found, SOMAXCONN) is None


def test_a_read_only_key_that_is_right_already_is_no_finding() -> None:
    wanted = intent("local", overrides={SOMAXCONN: 4096})
    observed = host(wanted)
    keys = {**observed.keys, SOMAXCONN: KeyState(SOMAXCONN, "4096", "the key is read-only here")}
    assert said(resolve(wanted, replace(observed, keys=keys))) == []


def test_an_optional_key_that_is_absent_is_a_note_whatever_the_user_chose() -> None:
    wanted = intent("local", workloads=["many_connections"], unsupported="fail")
    absent: dict[str, str | None] = {key: None for key in INDEX if key.startswith("net.netfilter.")}
    absent = {key: None for key in absent if key in keys_to_observe(wanted)}
    found = resolve(wanted, host(wanted, absent))
    assert {severity for _key, severity in said(found)} == {"note"}
    assert {key for key, _severity in said(found)} == set(absent)
    assert value(found, CONNTRACK) is None


def test_an_optional_key_that_is_read_only_is_not_passed_over() -> None:
    wanted = intent("local", workloads=["many_connections"])
    observed = host(wanted)
    keys = {**observed.keys, CONNTRACK: KeyState(CONNTRACK, "65536", "the key is read-only here")}
    assert (CONNTRACK, "error") in said(resolve(wanted, replace(observed, keys=keys)))


@pytest.mark.parametrize(
    ("more", "cure"),
    [
        ({"child_netns": True}, "declare it on the container's host"),
        ({"root": False}, "use become"),
        ({}, "take it out"),
    ],
)
def test_the_cure_depends_on_the_host(more: dict[str, Any], cure: str) -> None:
    wanted = intent("local", unsupported="warn")
    found = resolve(wanted, host(wanted, {RMEM_MAX: None}, **more))
    assert next(finding.cure for finding in found.findings if finding.key == RMEM_MAX).startswith(cure)


def test_a_host_without_a_reader_of_sysctl_d_is_told() -> None:
    wanted = intent("local")
    assert said(resolve(wanted, host(wanted, reader="nobody"))) == [("sysctl.d", "warning")]
    assert said(resolve(wanted, host(wanted, reader="nobody", systemd=False)))[-1:] == [("sysctl.d", "note")]


# The whole


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize("workload", [None, *sorted(WORKLOADS)])
def test_every_profile_and_workload_resolves_to_valid_values(profile: str, workload: str | None) -> None:
    wanted = intent(profile, workloads=[workload] if workload else [])
    found = resolve(wanted, host(wanted, listeners=(22, 8080)))
    assert [finding for finding in found.findings if finding.severity != "note"] == []
    assert [POSITION[choice.key] for choice in found.choices] == sorted(POSITION[key.name] for key in found.keys)
    for choice in found.choices:
        assert check_value(choice.key, choice.value, "x") == (choice.value, []), choice.key
        assert choice.reason
        assert choice.source
        assert choice.layer
    for key in found.keys:
        assert key.takes_effect == INDEX[key.name].takes_effect


def test_the_fast_open_key_is_a_token() -> None:
    wanted = intent(fast_open_key="1-2-3-4")
    assert TFO_KEY in keys_to_observe(wanted)
    found = resolve(wanted, host(wanted))
    assert value(found, TFO_KEY) == token(TFO_KEY)
    assert "1-2-3-4" not in repr(found)


def test_nothing_declared_resolves_to_nothing() -> None:
    wanted = bare_intent("x.conf")
    assert resolve(wanted, host(wanted)) == Resolved()


def test_single_values_resolve_without_a_profile() -> None:
    wanted = values_intent(bare_intent("x.conf"), {RMEM: [4096, 131072, 33554432]}, "values")
    found = resolve(wanted, host(wanted))
    assert [(choice.key, choice.value) for choice in found.choices] == [(RMEM, "4096 131072 33554432")]
    assert said(found) == []


def test_what_resolve_looks_at_is_observed() -> None:
    wanted = intent(workloads=sorted(WORKLOADS), fast_open_key="1-2-3-4")
    names = keys_to_observe(wanted)
    assert names == tuple(sorted(set(names)))
    assert {choice.key for choice in resolve(wanted, host(wanted)).choices} <= set(names)
    assert set(modules_to_observe(wanted)) == {"tcp_bbr", "tcp_cubic", "sch_fq", "nf_conntrack"}


CONNTRACK_MAX = "net.netfilter.nf_conntrack_max"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (ModuleState("nf_conntrack", loaded=True), True),
        (ModuleState("nf_conntrack", builtin=True), False),
        (ModuleState("nf_conntrack", loadable=True), False),
    ],
)
def test_the_module_of_conntrack_keys_is_loaded_before_them_at_boot(state: ModuleState, expected: bool) -> None:
    wanted = intent(workloads=["many_connections"])
    modules = {**host(wanted).modules, "nf_conntrack": state}
    assert ("nf_conntrack" in resolve(wanted, host(wanted, modules=modules)).modules) == expected


def test_without_conntrack_its_module_is_left_alone() -> None:
    wanted = intent(workloads=["many_connections"])
    gone = {name: None for name in keys_to_observe(wanted) if name.startswith("net.netfilter.")}
    modules = {**host(wanted).modules, "nf_conntrack": ModuleState("nf_conntrack", loaded=True)}
    assert "nf_conntrack" not in resolve(wanted, host(wanted, dict(gone), modules=modules)).modules


@pytest.mark.parametrize(
    ("ports", "refused"), [("0-65535", True), ("32768-60000", True), ("32768-59999", False), ("8080", False)]
)
def test_outgoing_connections_keep_ports(ports: str, refused: bool) -> None:
    wanted = intent(reserved_ports=[ports])
    errors = [finding for finding in resolve(wanted, host(wanted)).findings if finding.severity == "error"]
    assert [finding.key for finding in errors] == [RESERVED_PORTS] * refused
