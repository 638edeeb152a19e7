# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy as kubeadm runs it, by a DaemonSet and a ConfigMap that all nodes share: still one node first.

API server, controllers and scheduler are real, and so is kube-proxy; what runs its pods stands in for the kubelet.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml

from lab import kube_pki
from tests.molecule import kube_light
from tests.molecule.kube import (
    CLIENT,
    NODE_PORT,
    NODES,
    UNKNOWN,
    Cluster,
    as_kubeadm,
    config_map,
    daemon_sets,
    differing,
    proxies,
    run_kube,
)
from tests.molecule.kube_checks import busy, changes_nothing, module_is_missing, switched, will_not_start
from tests.molecule.kube_client import Object
from tests.molecule.kube_objects import PROXY, SYSTEM
from tests.molecule.kube_table import residues

OURS = "netfleet.tcp/"
LIGHT = kube_light.wanted()
FIRST = "nftables" if LIGHT else "ipvs"
_NO_IPVS = pytest.mark.skipif(
    LIGHT, reason="light hosts have this machine's kernel, and no module of it to load: no IPVS"
)
ALL = [pytest.param("ipvs", marks=_NO_IPVS), "nftables", "iptables"]


@pytest.fixture(scope="module")
def up(cluster: Cluster) -> Cluster:
    """The cluster with kube-proxy as kubeadm makes it, in the mode iptables."""
    as_kubeadm(cluster, "iptables")
    return cluster


def kept(cluster: Cluster) -> dict[str, object]:
    """All of the API that a change goes through, but for what each write counts up."""

    def plain(each: Object) -> Object:
        metadata = {key: each["metadata"].get(key) for key in ("name", "labels", "annotations")}
        # Its controller counts templates.
        (metadata["annotations"] or {}).pop("deprecated.daemonset.template.generation", None)
        return {"metadata": metadata, "spec": each.get("spec"), "data": each.get("data")}

    maps = cluster.api.items(f"/api/v1/namespaces/{SYSTEM}/configmaps")
    return {
        "daemon sets": {name: plain(each) for name, each in daemon_sets(cluster).items()},
        "config maps": [plain(each) for each in maps],
        "labels": {
            each["metadata"]["name"]: (each["metadata"]["labels"], each["metadata"].get("annotations"))
            for each in cluster.api.items("/api/v1/nodes")
        },
    }


def pods(cluster: Cluster) -> dict[str, str]:
    """The pod of kube-proxy on each node: its uid."""
    found = cluster.api.items(f"/api/v1/namespaces/{SYSTEM}/pods")
    return {str(pod["spec"]["nodeName"]): str(pod["metadata"]["uid"]) for pod in found}


def test_check_mode_tells_all_of_it_and_changes_nothing(up: Cluster, scratch: Path) -> None:
    before, running = kept(up), proxies(up)
    run = run_kube(scratch, up, "--check", "--diff", kube_proxy_mode=FIRST)
    assert (run.status, run.changed) == (0, sorted(NODES)), run.output
    assert LIGHT or "1.40" in run.output
    assert (kept(up), proxies(up)) == (before, running)


@pytest.mark.skipif(LIGHT, reason="light hosts have no modules of their own")
def test_a_node_that_lacks_a_module_is_named_and_nothing_is_changed_anywhere(up: Cluster, scratch: Path) -> None:
    before, running = kept(up), proxies(up)
    with module_is_missing(up, "local1", "ip_vs_wlc"):
        run = run_kube(scratch, up, kube_proxy_mode="ipvs", kube_proxy_scheduler="wlc")
    assert run.status != 0, run.output
    assert "ip_vs_wlc" in run.output
    assert "local1" in run.output
    assert (kept(up), proxies(up)) == (before, running)


def test_without_the_right_to_it_verb_and_resource_are_named_and_nothing_is_changed(up: Cluster, scratch: Path) -> None:
    before, running = kept(up), proxies(up)
    kube_pki.issue(up.plane.pki, "visitor", "visitor")
    kubeconfig = scratch / "visitor.kubeconfig"
    kubeconfig.write_text(up.plane.kubeconfig("visitor", up.plane.relayed), encoding="utf-8")
    run = run_kube(scratch, up, kubeconfig=kubeconfig, kube_proxy_mode="nftables")
    assert run.status != 0, run.output
    for words in ("visitor", "daemonsets", "configmaps"):
        assert words in run.output
    assert (kept(up), proxies(up)) == (before, running)


def test_an_api_that_does_not_answer_is_told_soon_and_nothing_is_changed(up: Cluster, scratch: Path) -> None:
    running = proxies(up)
    kubeconfig = scratch / "nobody.kubeconfig"
    written = json.loads(up.plane.kubeconfig("admin", up.plane.relayed))
    written["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    kubeconfig.write_text(json.dumps(written), encoding="utf-8")
    began = time.monotonic()
    run = run_kube(scratch, up, kubeconfig=kubeconfig, kube_proxy_mode="nftables")
    assert run.status != 0, run.output
    assert "127.0.0.1:9" in run.output
    assert time.monotonic() - began < 120.0
    assert proxies(up) == running


def test_a_config_map_that_cannot_be_read_is_named_and_nothing_is_changed(up: Cluster, scratch: Path) -> None:
    path = f"/api/v1/namespaces/{SYSTEM}/configmaps/{PROXY}"
    text = config_map(up)
    # Of what runs, nobody reads it anew.
    up.api.patch(path, {"data": {"config.conf": text + "mode: [\n"}})
    before, running = kept(up), proxies(up)
    run = run_kube(scratch, up, kube_proxy_mode="nftables")
    after, still = kept(up), proxies(up)
    up.api.patch(path, {"data": {"config.conf": text}})
    assert run.status != 0, run.output
    assert "config.conf" in run.output
    assert (after, still) == (before, running)


def test_a_kube_proxy_that_does_not_come_up_is_put_back_and_the_others_are_not_touched(
    up: Cluster, scratch: Path
) -> None:
    before, running, own = kept(up), proxies(up), pods(up)
    with will_not_start(up, FIRST):
        # All of it is waited for in vain.
        run = run_kube(scratch, up, kube_proxy_mode=FIRST, kube_proxy_start_timeout=300)
    assert run.status != 0, run.output
    up.wait_served("iptables")
    touched = [name for name, each in pods(up).items() if own[name] != each]
    assert len(touched) == 1, f"touched: {touched}\n{run.output}"
    assert {name: each for name, each in proxies(up).items() if name not in touched} == {
        name: each for name, each in running.items() if name not in touched
    }
    assert kept(up) == before
    for name, node in up.nodes.items():
        assert residues(node, "iptables") == [], name


def test_connections_of_others_stand_while_one_node_switches(
    up: Cluster, scratch: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = pods(up)
    with busy(up) as seen:
        run = run_kube(scratch, up, "--limit=cloud1", kube_proxy_mode=FIRST)
    assert run.status == 0, run.output
    with capfd.disabled():
        print(f"\n  cloud1 to {FIRST}: {seen}", end="")
    other_ways = [each for name in ("local1", "local2") for each in seen.long[name]]
    other_ways += [each for each in seen.long[CLIENT] if each["to"] != f"{up.addresses['cloud1']}:{NODE_PORT}"]
    assert [each for each in other_ways if each["ended"]] == []
    assert {name: each for name, each in pods(up).items() if name != "cloud1"} == {
        name: each for name, each in own.items() if name != "cloud1"
    }
    # Others still run what they ran, and what they would run if their pods started anew.
    assert yaml.safe_load(config_map(up))["mode"] == "iptables"


def test_drift_names_what_a_run_of_one_node_leaves_to_be_done(up: Cluster, scratch: Path) -> None:
    found = differing(scratch, up, kube_proxy_mode=FIRST)
    assert found["cloud1"] == {("kube-proxy-unfinished", "kube-proxy-netfleet")}
    for name in ("local1", "local2"):
        assert ("kube-proxy-mode", "mode") in found[name]
        # What they still run, they do as they should.
        assert {rule for rule, _key in found[name]} <= {"kube-proxy-mode", "kube-proxy-node", "kube-proxy-unfinished"}


@pytest.mark.parametrize("mode", ALL)
def test_all_nodes_switch_and_nothing_of_ours_is_left_in_the_api(
    up: Cluster, scratch: Path, capfd: pytest.CaptureFixture[str], mode: str
) -> None:
    strategy = {"type": "RollingUpdate"}
    began = time.monotonic()
    with busy(up) as seen:
        if mode == FIRST:
            # One node has it since the test before.
            run = run_kube(scratch, up, kube_proxy_mode=mode)
            assert run.status == 0, run.output
            up.wait_served(mode)
        else:
            switched(up, scratch, mode)
    with capfd.disabled():
        print(f"\n  to {mode}, three nodes in {time.monotonic() - began:.0f} s: {seen}", end="")
    for name, node in up.nodes.items():
        assert residues(node, mode) == [], name
    found = yaml.safe_load(config_map(up))
    assert found["mode"] == mode
    assert {name: found.get(name) for name in UNKNOWN} == UNKNOWN
    sets = daemon_sets(up)
    assert list(sets) == [PROXY]
    assert sets[PROXY]["spec"]["updateStrategy"]["type"] == strategy["type"]
    assert OURS not in json.dumps(kept(up))
    # The cluster's own pods run it, and so would any that start anew.
    assert set(pods(up)) == set(NODES)
    changes_nothing(up, scratch, mode)
    assert differing(scratch, up, kube_proxy_mode=mode) == {name: set() for name in NODES}
