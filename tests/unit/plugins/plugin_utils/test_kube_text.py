# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that brings settings to a node, wherever they stand there; and what the API says, kept for other hosts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import (
    CONFIG_FILE,
    CONFIG_MAP,
    FLAGS_FILE,
    RANCHER_FILES,
    UNIT,
    Place,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen, ProxyFile
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import Api
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_once import cluster_once
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_text import changed_file, disabled, settings_of
from tests.unit.plugins.plugin_utils.fake_cluster import TEXT, FakeCluster

BASE = "/etc/rancher/k3s/config.yaml"
FLAGS = "/var/snap/microk8s/current/args/kube-proxy"
FILE = "/etc/kube-proxy.yaml"
UNIT_TEXT = "# /etc/systemd/system/kube-proxy.service\n[Service]\nExecStart=/usr/bin/kube-proxy --proxy-mode=iptables\n"
WANT = {"mode": "nftables"}


def _seen(distribution: str, kind: str, path: str = "", files: Any = (), unit_text: str = "") -> NodeSeen:
    place = Place(distribution, kind, path, "some.service")
    return NodeSeen(place=place, files=tuple(ProxyFile(*each) for each in files), unit_text=unit_text)


K3S = _seen("k3s", RANCHER_FILES, BASE, [(BASE, "kube-proxy-arg: [proxy-mode=ipvs]\ntoken: masked\n")])
MICROK8S = _seen("microk8s", FLAGS_FILE, FLAGS, [(FLAGS, "--proxy-mode=iptables\n--v=2\n")])
BY_FILE = _seen("standalone", CONFIG_FILE, FILE, [(FILE, TEXT)])
BY_UNIT = _seen("standalone", UNIT, unit_text=UNIT_TEXT)


def test_what_the_command_of_k3s_says_counts_after_its_files() -> None:
    seen = replace(K3S, arguments=("--kube-proxy-arg=proxy-mode=iptables", "--kube-proxy-arg=--v=2"))
    assert settings_of(seen) == {"mode": "iptables"}
    with pytest.raises(InputError, match=r"systemctl cat some\.service: mode: is read after zz-netfleet-tcp\.yaml"):
        changed_file(seen, WANT)
    # Where it says what is wanted, there is nothing to bring.
    assert changed_file(seen, {"mode": "iptables"})[1] == ""
    assert disabled(seen) == ""
    for given in ("--disable-kube-proxy=true", "--disable-kube-proxy=1"):
        assert disabled(replace(K3S, arguments=(given,))) == "k3s leaves it out here (disable-kube-proxy)"
    with pytest.raises(InputError, match=r"has it read another configuration: /etc/other\.yaml"):
        changed_file(replace(K3S, arguments=("--config=/etc/other.yaml",)), WANT)


@pytest.mark.parametrize(
    ("seen", "mode", "path", "written"),
    [
        (K3S, "ipvs", BASE + ".d/zz-netfleet-tcp.yaml", '"proxy-mode=nftables"'),
        (MICROK8S, "iptables", FLAGS, "--proxy-mode=nftables\n--v=2\n"),
        (BY_FILE, "iptables", FILE, "mode: nftables\nunknownField: kept\n"),
        (BY_UNIT, "iptables", "/etc/systemd/system/some.service.d/zz-netfleet-tcp.conf", "--proxy-mode=nftables"),
    ],
)
def test_settings_are_read_and_brought_wherever_they_stand(seen: NodeSeen, mode: str, path: str, written: str) -> None:
    assert settings_of(seen)["mode"] == mode
    found, text = changed_file(seen, WANT)
    assert found == path
    assert written in text
    # Somebody else's secrets are in no file of ours.
    assert "masked" not in text


@pytest.mark.parametrize(
    "seen",
    [
        _seen("k3s", RANCHER_FILES, BASE, [(BASE, "kube-proxy-arg: ['nodeport-addresses=%s']\n")]),
        _seen("microk8s", FLAGS_FILE, FLAGS, [(FLAGS, "--nodeport-addresses=%s\n")]),
        _seen("standalone", CONFIG_FILE, FILE, [(FILE, TEXT + "nodePortAddresses: [%s]\n")]),
        _seen("standalone", UNIT, unit_text=UNIT_TEXT.strip() + " --nodeport-addresses=%s\n"),
    ],
)
def test_where_node_ports_are_taken_is_read_whatever_it_says_and_kept(seen: NodeSeen) -> None:
    def given(text: str) -> NodeSeen:
        files = tuple(replace(each, text=each.text % text) for each in seen.files)
        return replace(seen, files=files, unit_text=seen.unit_text % text if seen.unit_text else "")

    assert settings_of(given("10.0.0.0/8,172.16.0.0/12"))["nodePortAddresses"] == ("10.0.0.0/8", "172.16.0.0/12")
    assert settings_of(given("primary"))["nodePortAddresses"] == ("primary",)
    assert settings_of(given("red"))["nodePortAddresses"] == ("red",)
    assert "nodePortAddresses" not in settings_of(given(""))
    # Beside that of k3s there is a file of ours.
    assert ("10.0.0.0/8" in changed_file(given("10.0.0.0/8"), WANT)[1]) is (seen.place.path != BASE)


@pytest.mark.parametrize("seen", [K3S, BY_UNIT])
def test_where_others_say_it_already_there_is_no_file_of_ours(seen: NodeSeen) -> None:
    assert changed_file(seen, settings_of(seen))[1] == ""


@pytest.mark.parametrize("seen", [MICROK8S, BY_FILE])
def test_a_file_that_says_it_already_stays_as_it_is(seen: NodeSeen) -> None:
    assert changed_file(seen, settings_of(seen))[1] == seen.files[0].text


def test_what_the_api_holds_is_not_brought_by_a_file() -> None:
    seen = _seen("kubeadm", CONFIG_MAP)
    assert (settings_of(seen), changed_file(seen, WANT)) == ({}, ("", ""))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(HostError, match="%s: is not there, or cannot be read" % FILE):
        settings_of(_seen("standalone", CONFIG_FILE, FILE))


def test_a_file_that_is_wrong() -> None:
    with pytest.raises(InputError, match="%s: is not YAML" % FILE):
        settings_of(_seen("standalone", CONFIG_FILE, FILE, [(FILE, "mode: [")]))


@pytest.mark.parametrize(("text", "why"), [("disable-kube-proxy: true\n", "k3s leaves it out here"), ("", "")])
def test_a_distribution_that_leaves_kube_proxy_out(text: str, why: str) -> None:
    said = disabled(_seen("k3s", RANCHER_FILES, BASE, [(BASE, text)]))
    assert (why in said) if why else said == ""
    assert disabled(BY_FILE) == ""


def _once(cluster: FakeCluster, tmp_path: Path, asked: Dict[str, int], distribution: str = "kubeadm") -> Any:
    def connect() -> Api:
        asked["times"] = asked.get("times", 0) + 1
        return cluster.api

    return cluster_once(connect, distribution, str(tmp_path), "a task")


def test_whoever_is_first_asks_the_api_for_all(tmp_path: Path) -> None:
    cluster = FakeCluster()
    cluster.objects["services", "web"]["metadata"]["managedFields"] = [{"much": "of it"}]
    cluster.objects["nodes", "node1"]["metadata"]["labels"]["netfleet.tcp/kube-proxy"] = "moved"
    asked: Dict[str, int] = {}
    first, second = _once(cluster, tmp_path, asked), _once(cluster, tmp_path, asked)
    assert asked == {"times": 1}
    assert first == second
    assert [node.name for node in first.nodes] == ["node1", "node2", "node3"]
    assert first.sets.text == TEXT
    assert first.sets.labels == (("node1", "moved"),)
    assert "managedFields" not in first.services[0]["metadata"]
    # A ConfigMap holds what its cluster would not show to everybody.
    (kept,) = (path for path in tmp_path.iterdir() if path.suffix != ".lock")
    assert os.stat(kept).st_mode & 0o777 == 0o600


def test_that_the_api_does_not_answer_is_remembered_too(tmp_path: Path) -> None:
    cluster, asked = FakeCluster(), {}  # type: ignore[var-annotated]
    cluster.silent = "timed out"
    for _host in range(2):
        with pytest.raises(HostError, match="no answer: timed out"):
            _once(cluster, tmp_path, asked)
    assert asked == {"times": 1}


def test_of_nodes_with_files_of_their_own_no_daemon_set_is_asked(tmp_path: Path) -> None:
    cluster = FakeCluster()
    cluster.forbidden = {("get", "daemonsets")}
    assert _once(cluster, tmp_path, {}, "k3s").sets is None
