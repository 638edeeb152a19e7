# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of k3s and RKE2, written after their documentation; to be compared with what a real k3s makes of them."""

from __future__ import annotations

from typing import Dict, List

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_flags import read_flags
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import checked
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_rancher import (
    ConfigFile,
    in_order,
    own_file,
    own_path,
    read_files,
)

BASE = "/etc/rancher/k3s/config.yaml"
WANT = checked({"mode": "ipvs", "ipvs.scheduler": "lc"}, "want")


def _files(**texts: str) -> List[ConfigFile]:
    """config: the main file; others by name, with _ for -."""
    paths: Dict[str, str] = {}
    for name, text in texts.items():
        path = BASE if name == "config" else "%s.d/%s.yaml" % (BASE, name.replace("_", "-"))
        paths[path] = text
    return [ConfigFile(path, text) for path, text in paths.items()]


def _effective(files: List[ConfigFile]) -> Dict[str, object]:
    return read_flags(read_files(files, "k3s").plain, "x")


def test_files_are_read_in_the_order_of_their_names() -> None:
    files = [
        ConfigFile(BASE + ".d/b.yml", ""),
        ConfigFile(BASE + ".d/a.YAML", ""),
        ConfigFile(BASE + ".d/Z.yaml", ""),
        ConfigFile(BASE + ".d/notes.txt", ""),
        ConfigFile(BASE + ".d/deeper/c.yaml", ""),
        ConfigFile("/etc/rancher/rke2/config.yaml", ""),
        ConfigFile(BASE, ""),
    ]
    assert [each.path for each in in_order(files, "k3s")] == [
        BASE,
        BASE + ".d/Z.yaml",
        BASE + ".d/a.YAML",
        BASE + ".d/b.yml",
    ]


def test_a_key_replaces_and_with_a_plus_it_adds() -> None:
    config = "token: x\nkube-proxy-arg:\n- proxy-mode=iptables\n- --conntrack-min=0\n"
    added = _files(config=config, a="kube-proxy-arg+:\n- proxy-mode=ipvs\n")
    assert _effective(added) == {"mode": "ipvs", "conntrack.min": 0}
    replaced = _files(config=config, a="kube-proxy-arg: proxy-mode=nftables\n")
    assert _effective(replaced) == {"mode": "nftables"}
    assert read_files(added, "k3s").place_of("mode") == BASE + ".d/a.yaml"
    assert read_files(added, "k3s").place_of("conntrack.min") == BASE


@pytest.mark.parametrize(("text", "disabled"), [("true", True), ("'true'", True), ("false", False), ("", False)])
def test_a_node_without_kube_proxy_is_seen(text: str, disabled: bool) -> None:
    assert read_files(_files(config="disable-kube-proxy: %s\n" % text), "k3s").disabled is disabled


def test_our_file_brings_what_the_others_do_not() -> None:
    files = _files(config="kube-proxy-arg: ['ipvs-scheduler=lc', 'v=2']\n")
    text = own_file(files, "k3s", WANT)
    assert text.startswith("# Managed by netfleet.tcp")
    assert text.endswith('"kube-proxy-arg+":\n  - "proxy-mode=ipvs"\n')
    together = [*files, ConfigFile(own_path("k3s"), text)]
    assert _effective(together) == WANT
    assert own_file(together, "k3s", WANT) == text


def test_where_nothing_is_missing_there_is_no_file_of_ours() -> None:
    files = _files(config="kube-proxy-arg: [proxy-mode=ipvs, ipvs-scheduler=lc]\n")
    assert own_file(files, "k3s", WANT) == ""
    assert own_file([], "k3s", {}) == ""


def test_for_what_is_wanted_empty_there_is_no_file_of_ours() -> None:
    assert own_file([], "k3s", checked({"ipvs.excludeCIDRs": [], "ipvs.scheduler": ""}, "want")) == ""


def test_our_file_stands_alone_where_there_is_no_other() -> None:
    text = own_file([], "rke2", WANT)
    own = ConfigFile(own_path("rke2"), text)
    assert own.path == "/etc/rancher/rke2/config.yaml.d/zz-netfleet-tcp.yaml"
    assert read_flags(read_files([own], "rke2").plain, "x") == WANT


def test_feature_gates_of_others_stay() -> None:
    files = _files(config="kube-proxy-arg: feature-gates=Other=true\n")
    text = own_file(files, "k3s", {"featureGates": {"KubeProxyIPVS": True}})
    assert _effective([*files, ConfigFile(own_path("k3s"), text)]) == {
        "featureGates": {"Other": True, "KubeProxyIPVS": True}
    }


@pytest.mark.parametrize(
    ("files", "want", "expected"),
    [
        (
            _files(zz_zz="kube-proxy-arg: [proxy-mode=iptables]\n"),
            {"mode": "ipvs"},
            BASE + ".d/zz-zz.yaml: mode: is read after zz-netfleet-tcp.yaml (take it out there)",
        ),
        (
            _files(config="kube-proxy-arg: [ipvs-exclude-cidrs=10.0.0.0/8]\n"),
            {"ipvs.excludeCIDRs": ("172.16.0.0/12",)},
            BASE + ": ipvs.excludeCIDRs: is set, and can only grow (take ipvs-exclude-cidrs out there)",
        ),
        (_files(config=""), {"nftables.syncPeriod": "30s"}, "nftables.syncPeriod: kube-proxy has no flag for it"),
        (
            _files(config="kube-proxy-arg: [config=/etc/kp.yaml]\n"),
            {"mode": "ipvs"},
            "kube-proxy takes its settings from /etc/kp.yaml (change that file)",
        ),
        (_files(config="kube-proxy-arg: [1]\n"), {}, BASE + ": kube-proxy-arg: [1] is not a list of texts"),
        (_files(config="kube-proxy-arg: {a: b}\n"), {}, "kube-proxy-arg: {'a': 'b'} is not a list of texts"),
        (_files(config="disable-kube-proxy: maybe\n"), {}, "disable-kube-proxy: 'maybe' is not true or false"),
        (_files(a="- x\n"), {}, BASE + ".d/a.yaml: is not a mapping"),
        (_files(a="a: {"), {}, BASE + ".d/a.yaml: is not YAML: line 1, column 5"),
        (_files(a="a: 1\n---\nb: 1\n"), {}, BASE + ".d/a.yaml: has 2 documents"),
        (_files(a="kube-proxy-arg: [proxy-mode=best]\n"), {}, "mode: 'best' is not one of"),
    ],
)
def test_what_prevents_it_is_said_with_its_file(
    files: List[ConfigFile], want: Dict[str, object], expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        own_file(files, "k3s", want)
    assert expected in str(caught.value)


def test_windows_line_ends_do_no_harm() -> None:
    assert _effective(_files(config="kube-proxy-arg:\r\n- proxy-mode=ipvs\r\n")) == {"mode": "ipvs"}
