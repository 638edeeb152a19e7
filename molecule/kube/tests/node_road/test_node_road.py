# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy as a service of each node: it changes by its file, node by node, and back where it does not come up."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

import pytest
import yaml

from tests.molecule.kube import (
    CLIENT,
    CONFIG,
    NODE_PORT,
    NODES,
    UNKNOWN,
    Cluster,
    as_standalone,
    proxies,
    proxy_mode,
    run_kube,
    with_services,
)
from tests.molecule.kube_checks import (
    busy,
    changes_nothing,
    loses_an_address,
    module_is_missing,
    switched,
    will_not_start,
)
from tests.molecule.kube_table import residues
from tests.waiting import until

MANY = 200
LONG_SILENCE = 20.0


@pytest.fixture(scope="module")
def up(cluster: Cluster) -> Cluster:
    """The cluster with 200 Services, and kube-proxy by a unit and a file, in the mode iptables."""
    with_services(cluster, MANY)
    as_standalone(cluster, "iptables")
    return cluster


def state(cluster: Cluster) -> dict[str, str]:
    """Of each node: its configuration, the process of kube-proxy, and what is loaded and set for it at boot."""
    files = f"cat {CONFIG}; ls /etc/modules-load.d /etc/sysctl.d /etc/NetworkManager 2> /dev/null; lsmod | grep ip_vs"
    found = cluster.on_each(f"{files} || true")
    return {name: text + proxies(cluster)[name] for name, text in found.items()}


def test_check_mode_tells_all_of_it_and_changes_nothing(up: Cluster, scratch: Path) -> None:
    before = state(up)
    run = run_kube(scratch, up, "--check", "--diff", kube_proxy_mode="ipvs")
    assert (run.status, run.changed) == (0, sorted(NODES)), run.output
    for name in NODES:
        assert "mode: ipvs" in run.diff(name), run.output
    assert "1.40" in run.output, "ipvs is deprecated, and until when it works was not said"
    assert state(up) == before


def test_a_node_that_lacks_a_module_is_named_and_nothing_is_changed_anywhere(up: Cluster, scratch: Path) -> None:
    before = state(up)
    with module_is_missing(up, "cloud1", "ip_vs_wlc"):
        run = run_kube(scratch, up, kube_proxy_mode="ipvs", kube_proxy_scheduler="wlc")
    assert run.status != 0, run.output
    assert run.changed == []
    assert "ip_vs_wlc" in run.output
    assert "cloud1" in run.output
    assert state(up) == before


def test_a_file_that_cannot_be_read_is_named_and_nothing_is_changed_anywhere(up: Cluster, scratch: Path) -> None:
    node = up.nodes["local2"]
    text = node.check_output(f"cat {CONFIG}")
    # kube-proxy ends when its file is written; it is back with the former text before the end.
    node.check_output(f"systemctl stop kube-proxy; printf 'mode: [\\n' >> {CONFIG}")
    others = {name: each for name, each in proxies_of(up).items() if name != "local2"}
    run = run_kube(scratch, up, kube_proxy_mode="nftables")
    node.check_output(f"printf %%s %s > {CONFIG}; systemctl start kube-proxy", text + "\n")
    up.wait_served("iptables")
    assert run.status != 0, run.output
    assert f"{CONFIG}" in run.output
    assert "local2" in run.output
    assert {name: each for name, each in proxies_of(up).items() if name != "local2"} == others


def proxies_of(cluster: Cluster) -> dict[str, str]:
    """As proxies, where some node may have none."""
    return cluster.on_each("pgrep -x kube-proxy || true")


def test_a_kube_proxy_that_does_not_come_up_is_put_back_and_the_others_are_not_touched(
    up: Cluster, scratch: Path
) -> None:
    files, before = up.on_each(f"cat {CONFIG}"), proxies(up)
    with will_not_start(up, "ipvs"):
        # All of it is waited for in vain.
        run = run_kube(scratch, up, kube_proxy_mode="ipvs", kube_proxy_start_timeout=300)
        assert run.status != 0, run.output
        after = proxies(up)
    assert up.on_each(f"cat {CONFIG}") == files
    touched = [name for name in NODES if after[name] != before[name]]
    assert len(touched) == 1, f"touched: {touched}\n{run.output}"
    # What kube-proxy said of it.
    assert "ipset" in run.output
    up.wait_served("iptables")
    for name, node in up.nodes.items():
        assert residues(node, "iptables") == [], name


def test_a_kube_proxy_that_comes_up_and_does_not_do_what_it_should_is_put_back_too(up: Cluster, scratch: Path) -> None:
    files, before = up.on_each(f"cat {CONFIG}"), proxies(up)
    with loses_an_address(up) as address:
        run = run_kube(scratch, up, kube_proxy_mode="ipvs", kube_proxy_verify_timeout=60)
    after = proxies(up)
    assert run.status != 0, run.output
    assert up.on_each(f"cat {CONFIG}") == files
    touched = [name for name in NODES if after[name] != before[name]]
    assert len(touched) == 1, f"touched: {touched}\n{run.output}"
    assert re.search(rf"{re.escape(address)}\b[^;]*is not on kube-ipvs0", run.output), run.output
    assert "it was given back what it had: kube-proxy runs iptables again" in run.output
    up.wait_served("iptables")
    for name, node in up.nodes.items():
        assert residues(node, "iptables") == [], name


def test_connections_of_others_stand_while_one_node_switches(
    up: Cluster, scratch: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with busy(up) as seen:
        run = run_kube(scratch, up, "--limit=cloud1", kube_proxy_mode="ipvs")
    assert run.status == 0, run.output
    assert {name: proxy_mode(node) for name, node in up.nodes.items()} == {
        "local1": "iptables",
        "local2": "iptables",
        "cloud1": "ipvs",
    }
    with capfd.disabled():
        print(f"\n  cloud1 to ipvs: {seen}", end="")
    other_ways = [each for name in ("local1", "local2") for each in seen.long[name]]
    other_ways += [each for each in seen.long[CLIENT] if each["to"] != f"{up.addresses['cloud1']}:{NODE_PORT}"]
    assert [each for each in other_ways if each["ended"]] == []
    # Backends on the node that switched are among those that were met.
    assert "cloud1" in {each["met"] for each in other_ways}
    assert max(each["longest"] for each in other_ways) < LONG_SILENCE
    # One backend in three is on the node that switches.
    for name in ("local1", "local2"):
        assert len(seen.new[name]["failed"]) < 0.01 * seen.new[name]["made"], f"{name}: {seen.new[name]}"


@pytest.mark.parametrize(("mode", "before"), [("ipvs", "iptables"), ("nftables", "ipvs"), ("iptables", "nftables")])
def test_all_nodes_switch_and_no_trace_of_the_former_mode_is_left(
    up: Cluster, scratch: Path, capfd: pytest.CaptureFixture[str], mode: str, before: str
) -> None:
    if proxy_mode(up.nodes["cloud1"]) != before:
        run = run_kube(scratch, up, "--limit=cloud1", kube_proxy_mode=before)
        assert run.status == 0, run.output
    began = time.monotonic()
    with busy(up) as seen:
        switched(up, scratch, mode)
    with capfd.disabled():
        print(f"\n  {before} -> {mode}, three nodes in {time.monotonic() - began:.0f} s: {seen}", end="")
    for text in up.on_each(f"cat {CONFIG}").values():
        found = yaml.safe_load(text)
        assert found["mode"] == mode
        assert {name: found.get(name) for name in UNKNOWN} == UNKNOWN
    changes_nothing(up, scratch, mode)


def test_ipvs_outlasts_a_boot(up: Cluster, scratch: Path) -> None:
    run = run_kube(scratch, up, "--limit=local2", kube_proxy_mode="ipvs", kube_proxy_scheduler="lc")
    assert run.status == 0, run.output
    node = up.nodes["local2"]
    boot = node.check_output("cat /proc/sys/kernel/random/boot_id")
    node.run("systemctl reboot")

    def is_back() -> bool:
        with contextlib.suppress(RuntimeError):
            now = node.run("cat /proc/sys/kernel/random/boot_id")
            return now.rc == 0 and now.stdout.strip() != boot and proxy_mode(node) == "ipvs"
        return False

    until(is_back, 240.0, "local2 is back with ipvs", 2.0)
    # It tells its mode before it has programmed anything.
    until(lambda: " lc" in node.check_output("ipvsadm -Ln"), 240.0, "virtual servers have the scheduler lc", 2.0)
    run = run_kube(scratch, up, "--limit=local2", kube_proxy_mode="iptables")
    assert (run.status, run.changed) == (0, ["local2"]), run.output
    up.wait_served("iptables")
