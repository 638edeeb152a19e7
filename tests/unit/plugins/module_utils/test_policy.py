# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import POSITION
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import (
    AUTO,
    Choice,
    Intent,
    bare_intent,
    checked_file_name,
    checked_interfaces,
    compose,
    values_intent,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._profiles import BASE, PROFILES, WORKLOADS

LOWAT = "net.ipv4.tcp_notsent_lowat"
KEEPALIVE = "net.ipv4.tcp_keepalive_time"
FAST_OPEN = "net.ipv4.tcp_fastopen"
TFO_KEY = "01234567-89abcdef-01234567-89abcdef"


def intent(profile: str = "cloud", **policy: Any) -> Intent:
    return compose({"profile": profile, **policy})


def choice(key: str, profile: str = "cloud", **policy: Any) -> Choice:
    return {each.key: each for each in intent(profile, **policy).choices}[key]


def problems(policy: dict[str, Any]) -> list[str]:
    with pytest.raises(InputError) as caught:
        compose(policy)
    return [str(problem) for problem in caught.value.problems]


# Precedence


@pytest.mark.parametrize(
    ("key", "policy", "value", "layer"),
    [
        (LOWAT, {"profile": "local"}, "131072", "base"),
        (KEEPALIVE, {}, "120", "profile cloud"),
        # A workload beats the profile and the base.
        (KEEPALIVE, {"workloads": ["ha"]}, "5", "workload ha"),
        (LOWAT, {"workloads": ["realtime_media"]}, "16384", "workload realtime_media"),
        # A later workload beats an earlier one, and named twice it counts where it stands last.
        (KEEPALIVE, {"workloads": ["ha", "proxy"]}, "120", "workload proxy"),
        (KEEPALIVE, {"workloads": ["proxy", "ha"]}, "5", "workload ha"),
        (KEEPALIVE, {"workloads": ["ha", "proxy", "ha"]}, "5", "workload ha"),
        # What a workload includes comes with it, below it.
        ("net.core.somaxconn", {"workloads": ["proxy"]}, "32768", "workload many_connections"),
        ("net.ipv4.ip_local_port_range", {"workloads": ["proxy"]}, "10240 65535", "workload loopback_short"),
        # A feature beats profile and workloads.
        (FAST_OPEN, {}, "1", "profile cloud"),
        (FAST_OPEN, {"fast_open": "all_listeners"}, "1027", "feature fast_open"),
        # An override beats everything.
        (KEEPALIVE, {"workloads": ["ha"], "overrides": {KEEPALIVE: 300}}, "300", "overrides"),
        (LOWAT, {"overrides": {"net/ipv4/tcp_notsent_lowat": "0x4000"}}, "16384", "overrides"),
    ],
)
def test_later_layers_win(key: str, policy: dict[str, Any], value: str, layer: str) -> None:
    found = choice(key, **policy)
    assert (found.value, found.layer) == (value, layer)


def test_the_base_applies_to_every_profile_unless_it_says_otherwise() -> None:
    for name, profile in PROFILES.items():
        own = {setting.key for setting in profile.settings}
        choices = {each.key: each for each in intent(name).choices}
        for setting in BASE:
            if setting.key not in own:
                assert (choices[setting.key].value, choices[setting.key].layer) == (setting.value, "base")


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_every_workload_composes_with_every_profile(name: str) -> None:
    for profile in PROFILES:
        found = intent(profile, workloads=[name])
        layers = {each.key: each.layer for each in found.choices}
        for setting in WORKLOADS[name].settings:
            assert layers[setting.key] == "workload " + name
        assert found.workloads == (*WORKLOADS[name].includes, name)


def test_choices_stand_in_the_catalogues_order_with_reasons() -> None:
    choices = intent(workloads=sorted(WORKLOADS)).choices
    assert [POSITION[each.key] for each in choices] == sorted(POSITION[each.key] for each in choices)
    assert all(each.reason and each.source and each.layer for each in choices)


@pytest.mark.parametrize(
    ("policy", "algorithms", "layer"),
    [
        ({}, ("bbr", "cubic"), "profile cloud"),
        ({"profile": "local"}, ("htcp", "cubic"), "profile local"),
        ({"profile": "local", "workloads": ["realtime_media"]}, ("bbr", "cubic"), "workload realtime_media"),
        ({"profile": "local", "workloads": ["realtime_media", "ha"]}, ("bbr", "cubic"), "workload realtime_media"),
        ({"workloads": ["realtime_media"], "congestion_control": ["htcp"]}, ("htcp",), "feature congestion_control"),
        ({"congestion_control": []}, ("bbr", "cubic"), "profile cloud"),
    ],
)
def test_congestion_control(policy: dict[str, Any], algorithms: tuple[str, ...], layer: str) -> None:
    found = intent(**policy)
    assert (found.congestion_control, found.congestion_control_layer) == (algorithms, layer)


@pytest.mark.parametrize(
    ("policy", "qdisc", "layer"),
    [
        ({}, "fq", "profile cloud"),
        ({"qdisc": "profile"}, "fq", "profile cloud"),
        ({"qdisc": "none"}, "", "feature qdisc"),
        ({"qdisc": "fq_codel"}, "fq_codel", "feature qdisc"),
        ({"profile": "local"}, "", "profile local"),
    ],
)
def test_qdisc(policy: dict[str, Any], qdisc: str, layer: str) -> None:
    found = intent(**policy)
    assert (found.qdisc, found.qdisc_layer) == (qdisc, layer)


@pytest.mark.parametrize(
    ("policy", "bandwidth", "rtt", "layer"),
    [
        ({}, 5e9, 0.05, "profile cloud"),
        ({"bandwidth": "10Gbit"}, 10e9, 0.05, "feature buffers"),
        ({"rtt": "40ms"}, 5e9, 0.04, "feature buffers"),
        ({"bandwidth": "1Gbit", "rtt": "1ms"}, 1e9, 0.001, "feature buffers"),
    ],
)
def test_link(policy: dict[str, Any], bandwidth: float, rtt: float, layer: str) -> None:
    found = intent(**policy)
    assert (found.bandwidth, found.link_layer) == (bandwidth, layer)
    assert found.rtt == pytest.approx(rtt)


@pytest.mark.parametrize(
    ("fast_open", "value"),
    # YAML 1.1 reads a bare off as false.
    [("profile", "1"), ("off", "0"), (False, "0"), ("server", "2"), ("both", "3"), (None, "1"), ("", "1")],
)
def test_fast_open(fast_open: object, value: str) -> None:
    assert choice(FAST_OPEN, fast_open=fast_open).value == value


def test_what_is_not_said_has_its_default() -> None:
    found = intent()
    assert (found.unsupported, found.boot_conflict, found.force, found.file_name, found.memory_share) == (
        *("fail", "override", False, "90-netfleet-tcp.conf", 0.05),
    )
    assert (found.qdisc_interfaces, found.reserved_ports, found.fast_open_key, found.wide_ports) == (
        *((AUTO,), "", False, False),
    )
    assert intent(workloads=["proxy"]).wide_ports
    assert intent(reserved_ports=[8080, "9000-9010"]).reserved_ports == "8080,9000-9010"
    assert intent(fast_open_key=TFO_KEY).fast_open_key
    assert TFO_KEY not in repr(intent(fast_open_key=TFO_KEY))


# Bad input

BAD = [
    ("profile", "clod", "tcp_tuning_profile: unknown profile 'clod' (did you mean cloud?)"),
    ("profile", "", "tcp_tuning_profile: is not set (set it to one of: local, cloud, wan, edge; or put the host into"),
    ("profile", "cloud,local", "tcp_tuning_profile: the host is in the groups of several profiles (cloud,local)"),
    ("workloads", ["ha", "hb"], "tcp_tuning_workloads[1]: unknown workload 'hb' ("),
    ("workloads", "ha", "tcp_tuning_workloads: is 'ha', not a list (write [ha])"),
    ("workloads", {"ha": 1}, "tcp_tuning_workloads: is {'ha': 1}, not a list"),
    ("congestion_control", ["bbr", "BBR!"], "tcp_tuning_congestion_control[1]: 'BBR!' is not the name of an algorithm"),
    ("congestion_control", "bbr", "tcp_tuning_congestion_control: is 'bbr', not a list (write [bbr])"),
    ("fast_open", "client_only", "tcp_tuning_fast_open: 'client_only' is not known (one of: profile, off, client,"),
    ("fast_open", True, "tcp_tuning_fast_open: 'True' is not known (one of: profile, off,"),
    ("fast_open", 3, "tcp_tuning_fast_open: '3' is not known"),
    ("fast_open", 0, "tcp_tuning_fast_open: '0' is not known"),
    ("fast_open_key", "secret-123", "tcp_tuning_fast_open_key: is not a fast open key (not shown) (one or two of"),
    ("bandwidth", "10", "tcp_tuning_bandwidth: '10' is not a bandwidth (64 kbit to 1 Tbit, such as 10Gbit)"),
    ("bandwidth", "20Tbit", "tcp_tuning_bandwidth: '20Tbit' is not a bandwidth"),
    ("bandwidth", 0, "tcp_tuning_bandwidth: '0' is not a bandwidth"),
    ("rtt", "40", "tcp_tuning_rtt: '40' is not a round-trip time (1us to 10s, such as 40ms)"),
    ("rtt", 0, "tcp_tuning_rtt: '0' is not a round-trip time"),
    ("memory_share", 0, "tcp_tuning_memory_share: 0 is not a share (above 0, up to 0.5)"),
    ("memory_share", 0.6, "tcp_tuning_memory_share: 0.6 is not a share"),
    ("memory_share", "much", "tcp_tuning_memory_share: 'much' is not a share"),
    ("memory_share", float("nan"), "tcp_tuning_memory_share: nan is not a share"),
    ("qdisc", "fqcodel", "tcp_tuning_qdisc: 'fqcodel' is not known (one of: profile, none, fq,"),
    ("qdisc_interfaces", ["eth0", "a b"], "tcp_tuning_qdisc_interfaces[1]: 'a b' is not the name of an interface"),
    ("qdisc_interfaces", ["../x"], "tcp_tuning_qdisc_interfaces[0]: '../x' is not the name of an interface"),
    ("qdisc_interfaces", "eth0", "tcp_tuning_qdisc_interfaces: is 'eth0', not a list"),
    ("reserved_ports", ["80-70"], "tcp_tuning_reserved_ports: '80-70' is not a set of ports"),
    ("reserved_ports", ["http"], "tcp_tuning_reserved_ports: 'http' is not a set of ports"),
    ("unsupported", "ignore", "tcp_tuning_unsupported: 'ignore' is not known (one of: fail, warn, skip)"),
    ("boot_conflict", "skip", "tcp_tuning_boot_conflict: 'skip' is not known (one of: override, fail, warn)"),
    ("file", "../90.conf", "tcp_tuning_file: '../90.conf' is not a name for a sysctl.d file"),
    ("file", "90-netfleet", "tcp_tuning_file: '90-netfleet' is not a name for a sysctl.d file (such as"),
    ("file", ".conf", "tcp_tuning_file: '.conf' is not a name for a sysctl.d file"),
    ("overrides", ["x"], "tcp_tuning_overrides: is not a mapping of keys to values"),
    ("overrides", {"net.ipv4.tcp_rmen": 1}, "tcp_tuning_overrides[net.ipv4.tcp_rmen]: net.ipv4.tcp_rmen is not in the"),
    ("overrides", {"net.ipv4.tcp_tw_recycle": 1}, "tcp_tuning_overrides[net.ipv4.tcp_tw_recycle]: net.ipv4.tcp_tw_rec"),
    ("overrides", {"net.ipv4.ip_forward": 1}, "tcp_tuning_overrides[net.ipv4.ip_forward]: net.ipv4.ip_forward makes"),
    ("overrides", {KEEPALIVE: -1}, "tcp_tuning_overrides[%s]: %s: '-1' " % (KEEPALIVE, KEEPALIVE)),
    (
        "overrides",
        {FAST_OPEN: 3},
        "tcp_tuning_overrides[%s]: %s is a feature, not an override (use tcp_tuning_fast_open)"
        % (FAST_OPEN, FAST_OPEN),
    ),
    ("overrides", {"net/core/default_qdisc": "fq"}, "tcp_tuning_overrides[net/core/default_qdisc]: net.core.default_q"),
    ("overrides", {"net.ipv4.tcp_fastopen_key": TFO_KEY}, "tcp_tuning_overrides[net.ipv4.tcp_fastopen_key]: net.ipv4"),
    ("overrides", {"net.ipv4.neigh.default.gc_thresh1": 9999999}, None),
]


@pytest.mark.parametrize(("name", "value", "problem"), [case for case in BAD if case[2]])
def test_bad_input_is_refused_with_its_path_and_cure(name: str, value: Any, problem: str) -> None:
    found = problems({"profile": "cloud", name: value})
    assert len(found) == 1
    assert found[0].startswith(problem)
    assert found[0].endswith(")"), "there is no cure"


def test_a_key_in_both_spellings_is_refused() -> None:
    overrides = {"net.ipv4.tcp_sack": 1, "net/ipv4/tcp_sack": 0}
    assert problems({"profile": "cloud", "overrides": overrides}) == [
        "tcp_tuning_overrides[net/ipv4/tcp_sack]: net.ipv4.tcp_sack is given twice (leave one of them)"
    ]


def test_order_across_layers_is_checked() -> None:
    overrides = {"net.ipv4.neigh.default.gc_thresh1": 99999}
    found = problems({"profile": "cloud", "workloads": ["kubernetes_node"], "overrides": overrides})
    assert len(found) == 1
    assert found[0].startswith(
        "tcp_tuning_overrides: net.ipv4.neigh.default.gc_thresh1 (99999) is above net.ipv4.neigh"
    )


def test_all_problems_are_said_at_once_and_no_secret() -> None:
    policy = {name: value for name, value, problem in BAD if problem and not isinstance(value, dict)}
    policy["overrides"] = {"net.ipv4.tcp_rmen": 1, "net.ipv4.ip_forward": 1, KEEPALIVE: "x"}
    found = problems(policy)
    named = {text.split(":")[0].split("[")[0] for text in found}
    assert named == {"tcp_tuning_" + name for name in policy}
    assert len([text for text in found if text.startswith("tcp_tuning_overrides[")]) == 3
    assert "secret-123" not in " ".join(found)


def test_the_prefix_is_that_of_the_caller() -> None:
    with pytest.raises(InputError, match=r"^x_profile: unknown profile"):
        compose({"profile": "nope"}, prefix="x_")


@given(
    st.dictionaries(
        st.sampled_from(sorted({name for name, _value, _problem in BAD})),
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=5), max_size=3),
    )
)
def test_any_policy_composes_or_is_refused(policy: dict[str, Any]) -> None:
    found: list[Problem] = []
    try:
        compose({"profile": "wan", **policy})
    except InputError as error:
        found = error.problems
    assert all(problem.path.startswith("tcp_tuning_") and problem.cure for problem in found)


# Single files


def values(given_values: dict[str, Any]) -> Intent:
    return values_intent(bare_intent("80-x.conf"), given_values, "values")


def test_a_bare_intent_declares_nothing() -> None:
    found = bare_intent("80-x.conf")
    assert (found.choices, found.congestion_control, found.qdisc, found.reserved_ports) == ((), (), "", "")
    assert (found.unsupported, found.boot_conflict, found.force, found.fast_open_key) == ("fail", "fail", False, False)
    with pytest.raises(InputError, match=r"^file: "):
        bare_intent("80-x")


def test_values_carry_their_reason() -> None:
    found = values({"net/ipv4/tcp_sack": {"value": True, "reason": "why"}, KEEPALIVE: 120})
    assert [(each.key, each.value, each.reason, each.layer) for each in found.choices] == [
        ("net.ipv4.tcp_sack", "1", "why", "declared"),
        (KEEPALIVE, "120", "", "declared"),
    ]
    assert (found.file_name, found.profile, found.qdisc, found.congestion_control) == ("80-x.conf", "", "", ())


def test_a_congestion_control_among_values_is_chosen_as_the_feature_is() -> None:
    found = values({"net.ipv4.tcp_congestion_control": "htcp"})
    assert found.congestion_control == ("htcp",)
    assert found.choices == ()


@pytest.mark.parametrize(
    ("given_values", "found"),
    [
        ({"net.ipv4.tcp_sac": 1}, ["values[net.ipv4.tcp_sac]: net.ipv4.tcp_sac is not in the catalogue"]),
        ({KEEPALIVE: {"reason": "x"}}, ["values[%s]: %s" % (KEEPALIVE, KEEPALIVE)]),
        ({KEEPALIVE: {"value": 1, "reason": "a\nb = 1"}}, ["values[%s]: the reason has more than one" % KEEPALIVE]),
        # systemd ends a line at a carriage return, too.
        ({KEEPALIVE: {"value": 1, "reason": "a\rb = 1"}}, ["values[%s]: the reason has more than one" % KEEPALIVE]),
        ({"net.ipv4.tcp_fastopen_key": TFO_KEY}, ["values[net.ipv4.tcp_fastopen_key]: is a secret"]),
        ({KEEPALIVE: 1, "net/ipv4/tcp_keepalive_time": 2}, ["values[net/ipv4/tcp_keepalive_time]: %s is" % KEEPALIVE]),
        ({KEEPALIVE: 0, "x": 1}, ["values[%s]: " % KEEPALIVE, "values[x]: x is not in the catalogue"]),
        (
            {"net.ipv4.neigh.default.gc_thresh1": 1024, "net.ipv4.neigh.default.gc_thresh2": 512},
            ["values: net.ipv4.neigh.default.gc_thresh1 (1024) is above"],
        ),
    ],
)
def test_bad_values_are_refused(given_values: dict[str, Any], found: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        values(given_values)
    said = [str(problem) for problem in caught.value.problems]
    assert len(said) == len(found)
    assert all(text.startswith(start) for text, start in zip(said, found))


@pytest.mark.parametrize("name", ["90-x.conf", "a.conf", "90.b_c-d.conf"])
def test_file_names(name: str) -> None:
    assert checked_file_name(name, "file") == name


@pytest.mark.parametrize(
    "name", ["x", "/etc/x.conf", "a/b.conf", "..conf", "-x.conf", "a b.conf", "x.conf\n", "x.CONF"]
)
def test_names_that_no_sysctl_d_file_can_have(name: str) -> None:
    with pytest.raises(InputError, match=r"^file: "):
        checked_file_name(name, "file")


def test_no_interface_means_auto() -> None:
    assert checked_interfaces([], "interfaces") == (AUTO,)
    assert checked_interfaces(["eth0", "enp0s31f6"], "interfaces") == ("eth0", "enp0s31f6")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a:1", "a" * 16, "a b", "eth%d", "a@b", 'a"', "a\\", "a\n"])
def test_names_that_no_interface_can_have(name: str) -> None:
    with pytest.raises(InputError, match=r"^interfaces\[0\]: "):
        checked_interfaces([name], "interfaces")
