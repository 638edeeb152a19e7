# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy's flags. The file is written after MicroK8s's own; it is to be compared with a real one on a VM."""

from __future__ import annotations

from typing import List

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_flags import (
    argument,
    config_file,
    file_arguments,
    read_flags,
    with_settings,
    without_flag,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import SETTINGS, checked

MICROK8S = """\
--kubeconfig=${SNAP_DATA}/credentials/proxy.config
--cluster-cidr=10.1.0.0/16
--healthz-bind-address=127.0.0.1
--profiling=false
"""


def test_flags_are_read_in_all_their_forms() -> None:
    arguments = [
        "kube-proxy",
        "--proxy-mode=iptables",
        "--ipvs-scheduler",
        "lc",
        "--ipvs-strict-arp",
        "--conntrack-min=0",
        "--v",
        "2",
        "--ipvs-exclude-cidrs=10.0.0.0/8,172.16.0.0/12",
        "--ipvs-exclude-cidrs",
        "fd00::/8",
        "--feature-gates=A=true, B=false",
        "--proxy-mode=ipvs",
        "--",
        "--proxy-mode=nftables",
    ]
    assert read_flags(arguments, "x") == {
        "mode": "ipvs",
        "ipvs.scheduler": "lc",
        "ipvs.strictARP": True,
        "conntrack.min": 0,
        "ipvs.excludeCIDRs": ("10.0.0.0/8", "172.16.0.0/12", "fd00::/8"),
        "featureGates": {"A": True, "B": False},
    }


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--ipvs-strict-arp=perhaps", "unit: --ipvs-strict-arp: 'perhaps' is not true or false"),
        ("--conntrack-min=many", "unit: --conntrack-min: 'many' is not a number"),
        ("--feature-gates=A", "unit: --feature-gates: 'A' is not of the form Name=true,Other=false"),
        ("--proxy-mode=userspace", "unit: mode: 'userspace' is not one of iptables, ipvs, nftables"),
        ("--ipvs-tcp-timeout=900", "unit: ipvs.tcpTimeout: '900' is not a duration"),
    ],
)
def test_a_wrong_flag_is_named(flag: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read_flags([flag], "unit")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [(["--config=/etc/kp.yaml"], "/etc/kp.yaml"), (["--config", "/etc/kp.yaml", "--v=2"], "/etc/kp.yaml"), ([], "")],
)
def test_the_configuration_file_is_found(arguments: List[str], path: str) -> None:
    assert config_file(arguments) == path


def test_each_setting_with_a_flag_comes_back_from_it() -> None:
    samples = {
        "text": "",
        "switch": False,
        "number": 7,
        "duration": "15m0s",
        "networks": ("10.0.0.0/8",),
        "gates": {"B": True, "A": False},
    }
    for setting in SETTINGS.values():
        if setting.flag:
            value = samples[setting.kind]
            assert read_flags(["--" + argument(setting.field, value)], "x") == {setting.field: value}
    assert argument("featureGates", samples["gates"]) == "feature-gates=A=false,B=true"
    assert without_flag(["mode", "nftables.syncPeriod"]) == ("nftables.syncPeriod",)
    with pytest.raises(ValueError):
        argument("nftables.syncPeriod", "30s")


def test_a_file_keeps_all_other_lines() -> None:
    want = checked({"mode": "ipvs", "ipvs.scheduler": "lc"}, "x")
    changed = with_settings(MICROK8S, want, "args")
    assert changed == MICROK8S + "--proxy-mode=ipvs\n--ipvs-scheduler=lc\n"
    assert with_settings(changed, want, "args") == changed


def test_a_flag_stays_in_its_place_and_its_repetitions_go() -> None:
    text = "# ours\n--proxy-mode iptables\n\n--v=2\n--proxy-mode=iptables"
    assert with_settings(text, {"mode": "nftables"}, "args") == "# ours\n--proxy-mode=nftables\n\n--v=2\n"
    assert with_settings(text, {"mode": "iptables"}, "args") == text


def test_windows_line_ends_are_read_and_kept() -> None:
    text = MICROK8S.replace("\n", "\r\n") + "--proxy-mode=ipvs\r\n"
    assert read_flags(file_arguments(text), "args") == {"mode": "ipvs"}
    assert with_settings(text, {"mode": "nftables"}, "args") == text.replace("=ipvs", "=nftables")


def test_an_empty_file_takes_settings() -> None:
    assert with_settings("", {"mode": "ipvs"}, "args") == "--proxy-mode=ipvs\n"


def test_an_empty_flag_is_none() -> None:
    want = checked({"ipvs.excludeCIDRs": [], "ipvs.scheduler": ""}, "x")
    assert with_settings(MICROK8S, want, "x") == MICROK8S
    empty = MICROK8S + "--ipvs-exclude-cidrs=\n--ipvs-scheduler=\n"
    assert with_settings(empty, want, "x") == empty
    full = MICROK8S + "--ipvs-exclude-cidrs=10.0.0.0/8\n--ipvs-scheduler=lc\n"
    assert with_settings(full, want, "x") == empty


def test_what_flags_cannot_do_is_refused() -> None:
    with pytest.raises(InputError, match=r"args: nftables.syncPeriod: kube-proxy has no flag for it"):
        with_settings(MICROK8S, {"nftables.syncPeriod": "30s"}, "args")
    with pytest.raises(InputError, match=r"args: --config is given: .* from /etc/kp.yaml \(change that file\)"):
        with_settings("--config=/etc/kp.yaml\n", {"mode": "ipvs"}, "args")
    with pytest.raises(InputError, match=r"args:2: has several flags"):
        with_settings("--v=2\n--proxy-mode=ipvs --cluster-cidr=10.0.0.0/8\n", {"mode": "ipvs"}, "args")
