# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of the role kube_proxy on a cluster in memory, as Ansible takes them; and what drift says of its nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.action import kube_proxy
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import CONFIG_FILE, RANCHER_FILES, UNIT, Place
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import ProxyChange, ProxyFile, ServiceToTry
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._observe_kube import observe_kube
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import RULE_INDEX, SUBJECTS
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_kube import kube_check, kube_findings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import Answer
from tests.unit.plugins import fake_node
from tests.unit.plugins.plugin_utils.fake_cluster import NODES, TEXT, FakeCluster, FakeNode, daemon_set

UNIT_TEXT = "# /etc/systemd/system/kube-proxy.service\n[Service]\nExecStart=/usr/bin/kube-proxy --proxy-mode=iptables\n"


class Line:
    """The connection to the hosts: a new one reaches them again."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1
        self._play.lost = set()


class Play:
    """The role's tasks, one after another, on the hosts of a play."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
        monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
        monkeypatch.setattr(kube_proxy, "connect", lambda *_arguments: self.cluster.api)
        self.time = 0.0
        for name in ("Reach", "take_steps"):
            timed = partial(getattr(kube_proxy, name), sleep=self._sleep, clock=lambda: self.time)
            monkeypatch.setattr(kube_proxy, name, timed)
        self._monkeypatch = monkeypatch
        self.log = log
        self.cluster: FakeCluster = FakeCluster()
        self.nodes = {name: FakeNode(self.cluster, name) for name in NODES}
        self.settings: dict[str, Any] = {"mode": "ipvs", "verify_timeout": 4, "start_timeout": 6, "log": str(log)}
        self.check_mode = False
        self.lost: set[str] = set()
        # Of those, where the module gives no answer of its own.
        self.mute: set[str] = set()
        self.line = Line(self)
        self.begin()

    def _sleep(self, seconds: float) -> None:
        self.time += seconds

    def begin(self, hosts: tuple[str, ...] = NODES) -> None:
        """Another run, of these."""
        self.hosts = list(hosts)
        self.gone: set[str] = set()
        self.said: dict[str, dict[str, Any]] = {}
        self.variables: dict[str, dict[str, Any]] = {host: {} for host in hosts}
        self.modules: list[str] = []

    @property
    def present(self) -> list[str]:
        return [host for host in self.hosts if host not in self.gone]

    def step(self, host: str, step: str, **given: Any) -> dict[str, Any]:
        """What a task gives, as JSON between tasks has it; a host that fails leaves the play."""
        action: Any = object.__new__(kube_proxy.ActionModule)
        action._task = Mock(args={"step": step, "settings": self.settings, **given})
        action._task.check_mode, action._task.diff, action._task._uuid = self.check_mode, True, "one run"
        action._connection, action._display = self.line, Mock()
        self._monkeypatch.setattr(action, "_execute_module", self._execute, raising=False)
        variables = {
            "inventory_hostname": host,
            "hostvars": self.variables,
            "ansible_play_hosts_all": self.hosts,
            "ansible_play_hosts": self.present,
        }
        answer: dict[str, Any] = json.loads(json.dumps(action.run(None, variables)))
        if answer.get("failed"):
            self.gone |= {host}
        return answer

    def _execute(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        host = task_vars["inventory_hostname"]
        name, given = module_name.rpartition(".")[2], json.loads(json.dumps(module_args))
        self.modules.append("%s %s %s" % (host, name, given.get("step", "")))
        if host in self.lost:
            raise AnsibleConnectionFailure("no route to %s" % host)
        if host in self.mute:
            return {"failed": True, "msg": "MODULE FAILURE", "rc": 137}
        try:
            return self._by(self.nodes[host], name, given)
        except NetfleetError as error:
            return {"failed": True, **failure(error)}

    def _by(self, node: FakeNode, name: str, given: dict[str, Any]) -> dict[str, Any]:
        if name == "kube_proxy_info":
            assert set(given) == {"distribution", "metrics", "healthz", "entries"}
            return {"node": to_wire(node.look(given["entries"]))}
        if given["step"] == "change":
            return {"outcome": to_wire(node.change(from_wire(ProxyChange, given["change"])))}
        if given["step"] == "connect":
            services = [from_wire(ServiceToTry, each) for each in given["services"]]
            return {"tried": [to_wire(each) for each in node.connect(services, given["seconds"])]}
        {"restore": node.restore, "keep": node.keep}[given["step"]](given["change_id"])
        return {}

    def look(self) -> dict[str, Any]:
        """Up to the plan."""
        for host in self.hosts:
            self.variables[host][kube_proxy.LOOK] = self.step(host, "look")
        self.said["plan"] = self.step(self.present[0], "plan") if self.present else {}
        return self.said["plan"]

    def run(self) -> dict[str, dict[str, Any]]:
        """All of it; what each host said of its switch."""
        plan = self.look()
        if plan.get("failed"):
            return {}
        self.said["begin"] = self.step(self.present[0], "begin", plan=plan)
        switched: dict[str, dict[str, Any]] = {}
        for number, wave in enumerate(plan["waves"]):
            # They are at work at the same time: none of them knows what becomes of the others.
            begun = list(self.present)
            for host in (host for host in wave if host in begun):
                switched[host] = self.step(host, "switch", plan=plan, number=number)
        if not self.present:
            return switched
        settled = self.said["settle"] = self.step(self.present[0], "settle", plan=plan)
        for number, wave in enumerate(settled["waves"]):
            for host in (host for host in wave if host in self.present):
                self.said["home " + host] = self.step(host, "home", plan=plan, settled=settled, number=number)
        self.said["end"] = self.step(self.present[0], "end", plan=plan)
        return switched

    def modes(self) -> list[str]:
        return [self.cluster.mode_on(name) for name in NODES]

    @property
    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Play:
    return Play(monkeypatch, tmp_path / "changes.jsonl")


def test_a_step_that_is_none(play: Play) -> None:
    assert "step: 'leap' is none" in play.step("node1", "leap")["msg"]


def test_a_whole_run_and_a_second_one_that_changes_nothing(play: Play) -> None:
    switched = play.run()
    assert play.modes() == ["ipvs"] * 3
    assert [switched[host]["changed"] for host in NODES] == [True] * 3
    first = switched["node1"]
    assert first["changes"][0]["want"] == "ipvs"
    assert first["road"] == "the DaemonSet of the cluster"
    assert first["verified"] == "1 Services; 1 connections to 1 of them"
    assert play.said["settle"]["steps"] == ["replace ConfigMap kube-proxy (no pod runs by it)"]
    assert [play.said["home " + host]["changed"] for host in NODES] == [True] * 3
    assert play.said["end"]["changed"]
    assert [line["host"] for line in play.logged] == list(NODES)
    assert not play.cluster.labels()
    play.begin()
    assert play.run() == {}
    assert play.said["plan"]["msg"].endswith("every node is as it should be")
    for step in ("begin", "settle", "end"):
        assert play.said[step]["skipped"]
    # Each was visited once.
    assert play.modules == ["%s kube_proxy_info " % host for host in NODES]


def test_check_mode_tells_all_of_it_and_does_nothing(play: Play) -> None:
    play.check_mode = True
    switched = play.run()
    assert play.cluster.said == []
    assert play.modes() == ["iptables"] * 3
    assert [answer["changed"] for answer in switched.values()] == [True] * 3
    said = play.said["plan"]["msg"]
    assert said.startswith("mode ipvs: as kube_proxy_mode says; wave 1: node1 (second): mode: iptables -> ipvs")
    assert "before the first: create ConfigMap kube-proxy-netfleet" in said
    assert play.said["begin"]["changed"]


def test_auto_says_why(play: Play) -> None:
    play.settings["mode"] = "auto"
    assert play.look()["msg"].startswith("nftables: one look-up for any number of Services")


def test_a_canary_that_fails_leaves_the_others_untouched(play: Play) -> None:
    play.cluster.broken = {("node1", "ipvs")}
    switched = play.run()
    assert switched["node1"]["failed"]
    assert "given back what it had" in json.dumps(switched["node1"]["problems"])
    assert switched["node2"]["skip_reason"] == "the first node has failed (node1): this one was not touched"
    assert switched["node2"]["not_reached"]
    assert play.modes() == ["iptables"] * 3
    assert not [entry for entry in play.modules if entry.startswith("node2 kube_proxy_mode")]
    assert play.said["settle"]["steps"][0] == "delete DaemonSet kube-proxy-netfleet"
    assert _nothing_of_ours(play)
    assert play.logged[0]["outcome"] == "failed"


def _nothing_of_ours(play: Play) -> bool:
    named = [*play.cluster.names("daemonsets"), *play.cluster.names("configmaps")]
    own = play.cluster.objects["daemonsets", "kube-proxy"]["spec"]
    return (named, own, play.cluster.labels()) == (["kube-proxy"] * 2, daemon_set()["spec"], {})


def test_a_node_that_fails_alone_takes_away_what_was_begun(play: Play) -> None:
    """Nobody is left in the play whose last step does."""
    play.begin(("node1",))
    play.cluster.broken = {("node1", "ipvs")}
    switched = play.run()
    assert switched["node1"]["failed"]
    assert "settle" not in play.said
    assert _nothing_of_ours(play)


def test_a_node_that_fails_alone_leaves_what_others_still_need(play: Play) -> None:
    play.begin(("node1",))
    play.run()
    play.begin(("node2",))
    play.cluster.broken = {("node2", "ipvs")}
    play.run()
    assert play.modes() == ["ipvs", "iptables", "iptables"]
    assert play.cluster.labels() == {"node1": "moved"}


def _refuses_the_second_set(play: Play) -> None:
    """As a policy of admission does."""
    send = play.cluster.send

    def refused(method: str, path: str, *rest: Any) -> Answer:
        if method == "POST" and path.endswith("/daemonsets"):
            return Answer(403, {"message": "admission webhook denied the request"})
        return send(method, path, *rest)

    play.cluster.send = refused  # type: ignore[method-assign, assignment]


def test_what_could_not_be_begun_is_taken_back(play: Play) -> None:
    plan = play.look()
    _refuses_the_second_set(play)
    said = play.step("node1", "begin", plan=plan)
    assert said["failed"]
    assert "create daemonsets.apps" in said["problems"][0]
    assert said["problems"][-1] == "what was begun was taken back"
    assert _nothing_of_ours(play)


def test_what_could_not_be_begun_stays_for_nodes_that_have_moved(play: Play) -> None:
    play.begin(("node1",))
    play.run()
    play.begin()
    plan = play.look()
    del play.cluster.objects["daemonsets", "kube-proxy-netfleet"]
    _refuses_the_second_set(play)
    said = play.step("node1", "begin", plan=plan)
    assert "taken back" not in json.dumps(said["problems"])
    assert play.cluster.names("configmaps") == ["kube-proxy", "kube-proxy-netfleet"]


def test_what_could_neither_be_begun_nor_taken_back_is_said(play: Play) -> None:
    plan = play.look()
    _refuses_the_second_set(play)
    play.cluster.forbidden = {("delete", "configmaps")}
    said = play.step("node1", "begin", plan=plan)
    assert "on the way back: this user may not delete configmaps" in said["problems"][-1]


def test_a_run_with_a_limit_leaves_the_clusters_own_settings_alone(play: Play) -> None:
    play.begin(("node1",))
    play.run()
    assert play.modes() == ["ipvs", "iptables", "iptables"]
    assert play.said["settle"]["missing"] == ["node2", "node3"]
    said = "these nodes were not seen to have the new ones in this run: node2, node3"
    assert said in play.said["settle"]["warnings"][0]
    assert play.said["end"]["left"] == "node1"
    assert play.cluster.text() == TEXT
    # All of them: it comes to its end.
    play.begin()
    play.run()
    assert play.modes() == ["ipvs"] * 3
    assert play.said["home node1"]["changed"]
    assert not play.cluster.labels()


def _edited(play: Play, text: str) -> None:
    """Somebody edits the cluster's own ConfigMap."""
    found = play.cluster.objects["configmaps", "kube-proxy"]
    found["data"]["config.conf"] = text
    play.cluster._put("configmaps", found)


def test_what_somebody_edits_before_the_first_node_moves_ends_the_run(play: Play) -> None:
    plan = play.look()
    edited = TEXT + "clusterCIDR: 10.244.0.0/16\n"
    _edited(play, edited)
    play.cluster.said.clear()
    said = play.step("node1", "begin", plan=plan)
    assert said["problems"] == [
        "ConfigMap kube-system/kube-proxy: config.conf: somebody has changed it since this run looked at it (run again)"
    ]
    assert (play.cluster.said, play.cluster.text()) == ([], edited)


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_somebody_edits_while_nodes_move_stays(check_mode: bool, play: Play) -> None:
    plan = play.look()
    play.step("node1", "begin", plan=plan)
    for number, host in enumerate(NODES):
        play.step(host, "switch", plan=plan, number=number)
    _edited(play, TEXT.replace("unknownField: kept", "unknownField: other") + "clusterCIDR: 10.244.0.0/16\n")
    play.check_mode = check_mode
    settled = play.step("node1", "settle", plan=plan)
    said = "somebody has changed it since this run looked at it: that stays, beside the new settings"
    assert settled["warnings"] == ["ConfigMap kube-system/kube-proxy: config.conf: " + said]
    if not check_mode:
        for line in ("mode: ipvs", "unknownField: other", "clusterCIDR: 10.244.0.0/16"):
            assert line in play.cluster.text()


def test_an_edit_that_cannot_be_read_leaves_nodes_where_they_are(play: Play) -> None:
    plan = play.look()
    play.step("node1", "begin", plan=plan)
    for number, host in enumerate(NODES):
        play.step(host, "switch", plan=plan, number=number)
    _edited(play, "mode: [")
    assert "is not YAML" in play.step("node1", "settle", plan=plan)["msg"]
    assert (play.cluster.text(), play.modes()) == ("mode: [", ["ipvs"] * 3)


def test_an_edit_that_says_what_is_wanted_is_none_to_speak_of(play: Play) -> None:
    plan = play.look()
    play.step("node1", "begin", plan=plan)
    for number, host in enumerate(NODES):
        play.step(host, "switch", plan=plan, number=number)
    _edited(play, plan["plan"]["text"])
    settled = play.step("node1", "settle", plan=plan)
    assert (settled["steps"], settled.get("warnings", [])) == ([], [])


def test_nodes_go_home_after_an_upgrade_has_written_the_daemon_set_anew(play: Play) -> None:
    """kubeadm writes it without the affinity: it has a pod on nodes that have moved, too."""
    plan = play.look()
    play.step("node1", "begin", plan=plan)
    for number, host in enumerate(NODES):
        play.step(host, "switch", plan=plan, number=number)
    play.cluster.objects["daemonsets", "kube-proxy"]["spec"] = daemon_set()["spec"]
    settled = play.step("node1", "settle", plan=plan)
    assert settled["steps"][0].startswith("replace DaemonSet kube-proxy")
    for number, wave in enumerate(settled["waves"]):
        for host in wave:
            assert not play.step(host, "home", plan=plan, settled=settled, number=number).get("failed")
    play.step("node1", "end", plan=plan)
    assert (play.modes(), play.cluster.names("daemonsets")) == (["ipvs"] * 3, ["kube-proxy"])


def test_check_mode_of_a_part_of_the_nodes_settles_nothing(play: Play) -> None:
    play.begin(("node1",))
    play.run()
    play.check_mode = True
    play.begin(("node2",))
    play.run()
    assert (play.said["settle"]["changed"], play.said["settle"]["missing"]) == (False, ["node1", "node3"])
    play.begin()
    play.run()
    assert play.said["settle"]["steps"] == ["replace ConfigMap kube-proxy (no pod runs by it)"]


def test_a_node_without_kube_proxy_that_this_run_does_not_have_is_named(play: Play) -> None:
    """A run that was killed has left it in between."""
    play.cluster.objects["nodes", "node3"]["metadata"]["labels"]["netfleet.tcp/kube-proxy"] = "leaving"
    play.begin(("node1",))
    said = "an earlier run has left these nodes without kube-proxy, and this one does not have them: node3"
    assert play.look()["warnings"] == [said]
    play.cluster._control()
    play.begin()
    assert said not in play.look()["warnings"]


class KilledError(BaseException):
    """The process is gone: nothing of it catches this."""


def _killed_before(play: Play, number: int) -> bool:
    """A run that is killed before it writes for the numberth time; whether it was."""
    written = []

    def send(method: str, path: str, *rest: Any) -> Answer:
        if method != "GET" and "reviews" not in path:
            written.append(path)
            if len(written) == number:
                raise KilledError
        return FakeCluster.send(play.cluster, method, path, *rest)

    play.cluster.send = send  # type: ignore[method-assign, assignment]
    try:
        play.run()
    except KilledError:
        return True
    finally:
        del play.cluster.send
    return False


@pytest.mark.parametrize("mode", ["ipvs", "iptables"])
@pytest.mark.parametrize("hosts", [NODES, NODES[:1]])
def test_a_run_that_is_killed_at_any_of_its_writes_is_ended_by_the_next(
    hosts: tuple[str, ...], mode: str, play: Play
) -> None:
    number = 1
    while True:
        play.cluster = FakeCluster(TEXT.replace("mode: iptables", 'mode: ""'))
        play.nodes = {name: FakeNode(play.cluster, name) for name in NODES}
        play.settings["mode"] = "ipvs"
        play.begin(hosts)
        if not _killed_before(play, number):
            break
        settled = "mode: ipvs" in play.cluster.text()
        # Once the cluster's own ConfigMap has the new mode, the way is to the end of it.
        play.settings["mode"] = "ipvs" if settled else mode
        play.begin()
        answers = {**play.run(), **play.said}
        assert not [answer for answer in answers.values() if answer.get("failed")], number
        assert play.modes() == [play.settings["mode"]] * 3, number
        assert (play.cluster.names("daemonsets"), play.cluster.names("configmaps")) == (["kube-proxy"],) * 2
        assert play.cluster.labels() == {}
        number += 1
    assert number > (5 if len(hosts) == 1 else 15)


def test_one_that_comes_up_nowhere_else_is_no_reason_to_settle(play: Play) -> None:
    play.nodes["node2"].wrong = {"ipvs"}
    play.run()
    assert play.modes() == ["ipvs", "iptables", "iptables"]
    assert play.said["settle"]["missing"] == ["node2", "node3"]
    assert play.cluster.text() == TEXT


def test_a_node_that_fails_on_its_way_home_keeps_the_second_set(play: Play) -> None:
    plan = play.look()
    play.step("node1", "begin", plan=plan)
    for number, host in enumerate(NODES):
        play.step(host, "switch", plan=plan, number=number)
    settled = play.step("node1", "settle", plan=plan)
    play.cluster.broken = {("node1", "kube-proxy")}
    said = play.step("node1", "home", plan=plan, settled=settled, number=0)
    assert "it is served by the second DaemonSet" in json.dumps(said["problems"])
    assert play.step("node2", "home", plan=plan, settled=settled, number=1)["skipped"]
    assert play.step("node2", "end", plan=plan)["left"] == "node1, node2, node3"


def test_all_problems_are_said_and_nothing_is_changed_anywhere(play: Play) -> None:
    for host in ("node1", "node3"):
        play.nodes[host].seen = replace(play.nodes[host].seen, foreign=("keepalived.service runs",))
    play.nodes["node2"].seen = replace(play.nodes["node2"].seen, modules=("ip_vs",))
    assert play.run() == {}
    problems = play.said["plan"]["problems"]
    assert [problem.partition(":")[0] for problem in problems] == ["node2", "node1", "node3"]
    assert play.cluster.said == []


def test_a_static_pod_that_answers_arp_is_found_without_a_list_of_all_pods(play: Play) -> None:
    """kube-vip by a manifest of a node: no DaemonSet tells of it."""
    container = {"name": "kube-vip", "image": "registry.example/kube-vip/kube-vip:v0.8.9", "args": ["manager", "--arp"]}
    metadata = {"namespace": "kube-system", "name": "kube-vip-node1"}
    pod = {"metadata": metadata, "spec": {"nodeName": "node1", "hostNetwork": True, "containers": [container]}}
    asked: list[dict[str, str]] = []
    send = play.cluster.send

    def noted(method: str, path: str, query: Any, *rest: Any) -> Answer:
        if path.endswith("/pods"):
            assert path == "/api/v1/namespaces/kube-system/pods"
            asked.append(dict(query))
        answer = send(method, path, query, *rest)
        if path.endswith("/pods") and asked[-1].get("fieldSelector") == "spec.serviceAccountName=":
            answer.body["items"].append(pod)
        return answer

    play.cluster.send = noted  # type: ignore[method-assign, assignment]
    (problem,) = play.look()["problems"]
    assert problem.startswith("kube-vip in ARP mode (kube-system/kube-vip) needs strict ARP in the mode ipvs")
    assert asked
    assert all("fieldSelector" in each or "labelSelector" in each for each in asked)
    play.begin()
    play.settings["strict_arp"] = True
    assert len(play.look()["waves"]) == 3


@pytest.mark.parametrize("distribution", ["kubeadm", "standalone"])
def test_who_may_not_list_pods_is_told_so(distribution: str, play: Play) -> None:
    play.cluster.forbidden = {("list", "pods")}
    place = Place("standalone", CONFIG_FILE, "/etc/x", "kube-proxy.service")
    for node in play.nodes.values():
        node.seen = replace(node.seen, place=place) if distribution == "standalone" else node.seen
    assert "may not do what is needed: list pods in kube-system (" in play.look()["msg"]


def test_iptables_beside_a_container_is_installed_before_or_named(play: Play) -> None:
    play.run()
    play.begin()
    play.settings["mode"] = "iptables"
    assert play.look()["packages"] == {host: ["iptables"] for host in NODES}
    play.begin()
    play.settings["install"] = False
    assert play.run() == {}
    assert [problem.partition(" is not there")[0] for problem in play.said["plan"]["problems"]] == [
        "%s: iptables" % host for host in NODES
    ]


def test_a_program_is_asked_for_where_a_residue_alone_is_to_go_and_where_nothing_is_it_is_not(play: Play) -> None:
    play.settings["mode"] = "iptables"
    play.run()
    for node in play.nodes.values():
        node.seen = replace(node.seen, programs=())
    play.begin()
    play.settings["install"] = False
    play.run()
    assert play.said["plan"]["waves"] == []
    play.cluster.residue_of = {"node2": "ipvs"}
    play.begin()
    play.run()
    assert [problem.partition(" is not there")[0] for problem in play.said["plan"]["problems"]] == ["node2: iptables"]


@pytest.mark.parametrize("distribution", ["kubeadm", "standalone"])
def test_a_host_on_which_a_program_could_not_be_installed_keeps_all_of_them_as_they_are(
    distribution: str, play: Play
) -> None:
    """The task that installs has taken it out of the play; it is of the last wave."""
    place = Place("standalone", UNIT, "", "kube-proxy.service")
    for node in play.nodes.values():
        own: dict[str, Any] = {"place": place, "in_container": False, "kubernetes": "v1.34.2", "unit_text": UNIT_TEXT}
        node.seen = replace(node.seen, programs=(), **(own if distribution == "standalone" else {}))
    play.settings["mode"] = "nftables"
    plan = play.look()
    assert plan["by_api"] is (distribution == "kubeadm")
    assert "nftables" in plan["packages"]["node3"]
    play.gone = {"node3"}
    said = play.step("node1", "begin", plan=plan)
    assert said["failed"]
    (problem,) = said["problems"]
    assert problem.startswith("node3: is not in the run any more: what it lacks could not be installed: nftables")
    assert "no node was changed" in problem
    assert play.cluster.said == []
    play.gone = set()
    assert play.step("node1", "begin", plan=plan)["changed"] is (distribution == "kubeadm")


def test_the_scheduler_that_a_node_keeps_is_a_module_that_it_needs(play: Play) -> None:
    """The run names none: the one that stands in the ConfigMap stays, and the last node lacks its module."""
    text = TEXT.replace('scheduler: ""', "scheduler: lc")
    play.cluster.objects["configmaps", "kube-proxy"]["data"]["config.conf"] = text
    last = play.nodes["node3"].seen
    last = play.nodes["node3"].seen = replace(last, modules=tuple({*last.modules} - {"ip_vs_lc"}))
    assert play.run() == {}
    (problem,) = play.said["plan"]["problems"]
    assert problem.startswith("node3: ipvs needs modules that this kernel does not have: ip_vs_lc")
    assert play.cluster.said == []
    # Whichever is wanted in its place is needed in its place.
    play.begin()
    play.settings["scheduler"] = "rr"
    assert len(play.look()["waves"]) == 3
    # It is no reason against a mode that has none.
    play.settings.update(mode="nftables", scheduler="")
    assert len(play.look()["waves"]) == 3


def test_auto_takes_no_ipvs_whose_scheduler_a_node_lacks(play: Play) -> None:
    text = TEXT.replace('scheduler: ""', "scheduler: wlc")
    play.cluster.objects["configmaps", "kube-proxy"]["data"]["config.conf"] = text
    for node in play.nodes.values():
        node.seen = replace(node.seen, kernel="5.4.0")
    play.settings["mode"] = "auto"
    said = play.look()["msg"]
    assert said.startswith("iptables: works wherever kube-proxy does")
    assert "not ipvs: ipvs needs modules that this kernel does not have: ip_vs_wlc" in said
    play.settings["scheduler"] = "lc"
    assert play.look()["msg"].startswith("ipvs: ")


@pytest.mark.parametrize("excluded", ["", '"198.51.100.0/24"', '"192.0.2.100/32"'])
def test_what_ipvs_leaves_to_others_on_an_address_of_the_node_is_seen_by_the_look(excluded: str, play: Play) -> None:
    """The API server behind a virtual address that kube-vip has given to the node: nftables would flush it."""
    kernel = fake_node.FakeNode("ipvs", unit="")
    kernel.own = [*kernel.own, "192.0.2.100"]
    ends = ("192.0.2.11:6443", "192.0.2.12:6443")
    # Beside it, a NodePort on each address of the node.
    node_port = replace(kernel.servers[1], address="192.0.2.100")
    kernel.servers += [ProxyEntry("tcp", "192.0.2.100", 8443, ends, scheduler="rr"), node_port]
    play.begin(("node1",))
    play.nodes["node1"].look = (  # type: ignore[method-assign]
        lambda entries=True: observe_kube(kernel, "kubeadm", entries=entries)
    )
    text = TEXT.replace("mode: iptables", "mode: ipvs").replace("ipvs:\n", "ipvs:\n  excludeCIDRs: [%s]\n" % excluded)
    play.cluster.objects["configmaps", "kube-proxy"]["data"]["config.conf"] = text
    play.settings["mode"] = "nftables"
    said = play.look()
    if "192.0.2.100" not in excluded:
        assert said["waves"] == [["node1"]]
        return
    (problem,) = said["problems"]
    assert "virtual servers would be lost: tcp 192.0.2.100:8443 (in ipvs.excludeCIDRs)" in problem
    play.begin(("node1",))
    play.settings["tolerate"] = ["foreign_ipvs"]
    assert "tcp 192.0.2.100:8443" in "".join(play.look()["warnings"])


def test_a_host_that_could_not_be_looked_at_is_a_problem_of_the_run(play: Play) -> None:
    play.lost = {"node2"}
    assert play.run() == {}
    assert play.said["plan"]["problems"] == ["node2: could not be looked at (mend that, or leave it out with --limit)"]


def test_what_the_user_may_not_do_is_named_before_anything_is_done(play: Play) -> None:
    play.cluster.forbidden = {("patch", "nodes"), ("delete", "pods")}
    assert play.run() == {}
    said = play.said["plan"]["msg"]
    assert "visitor may not do what is needed: patch nodes, delete pods in kube-system" in said
    assert play.cluster.said == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mode: [", "ConfigMap kube-system/kube-proxy: config.conf: is not YAML: line 1"),
        (TEXT + "---\n" + TEXT, "has 2 of the kind KubeProxyConfiguration"),
        (TEXT.replace("iptables", "5"), "5 is not a text"),
    ],
)
def test_a_config_map_that_cannot_be_read(text: str, said: str, play: Play) -> None:
    play.cluster.objects["configmaps", "kube-proxy"]["data"]["config.conf"] = text
    assert play.run() == {}
    assert said in play.said["plan"]["msg"]
    assert play.cluster.said == []


def test_line_ends_of_windows_and_fields_that_nobody_knows(play: Play) -> None:
    play.cluster.objects["configmaps", "kube-proxy"]["data"]["config.conf"] = TEXT.replace("\n", "\r\n")
    play.run()
    assert play.modes() == ["ipvs"] * 3
    assert "unknownField: kept" in play.cluster.text()


def test_a_cluster_without_kube_proxy_is_said_and_left_alone(play: Play) -> None:
    cilium = {
        "metadata": {"namespace": "kube-system", "name": "cilium-config"},
        "data": {"kube-proxy-replacement": "true"},
    }
    play.cluster._put("configmaps", cilium)
    plugin = daemon_set(nodeSelector={"nobody": "has it"})
    plugin["metadata"]["name"] = "cilium"
    play.cluster._put("daemonsets", plugin)
    assert play.look()["msg"].startswith("there is no kube-proxy: Cilium does its work")
    assert (play.said["plan"]["waves"], play.said["plan"]["by_api"]) == ([], False)


def test_what_concerns_a_plugin_that_is_not_there_need_not_be_allowed(play: Play) -> None:
    play.cluster.forbidden = {("get", "felixconfigurations"), ("get", "installations")}
    assert len(play.look()["waves"]) == 3


def test_a_server_without_endpoint_slices_is_no_cluster_without_endpoints(play: Play) -> None:
    """Before Kubernetes 1.21 it has none of this version."""
    send = play.cluster.send

    def older(method: str, path: str, *rest: Any) -> Answer:
        if "endpointslices" in path:
            return Answer(404, {"message": "the server could not find the requested resource"})
        return send(method, path, *rest)

    play.cluster.send = older  # type: ignore[method-assign, assignment]
    answer = play.look()
    assert answer["failed"]
    assert "it has no endpointslices/v1 (Kubernetes 1.21 or newer is needed" in answer["msg"]


def test_a_cluster_that_does_not_answer(play: Play) -> None:
    play.cluster.silent = "timed out"
    assert play.run() == {}
    assert "no answer: timed out" in play.said["plan"]["msg"]


def test_without_the_api_a_kubeadm_cluster_is_not_changed(play: Play) -> None:
    play.settings["api"] = False
    assert "kube_proxy_api: is false, and the API holds the configuration of kubeadm" in play.look()["msg"]


def test_a_node_whose_connection_is_lost_gets_its_former_kube_proxy_back(play: Play) -> None:
    plan = play.look()
    play.step("node1", "begin", plan=plan)
    node = play.nodes["node1"]
    change = node.change

    def once(want: ProxyChange) -> Any:
        play.lost = {"node1"} if node.said else set()
        if play.lost:
            raise host_error("", "the connection was lost")
        return change(want)

    node.change = once  # type: ignore[method-assign]
    said = play.step("node1", "switch", plan=plan, number=0)
    assert "the connection was lost" in json.dumps(said["problems"])
    assert play.modes() == ["iptables"] * 3


@pytest.mark.parametrize("how", ["lost", "mute"])
def test_a_node_that_is_lost_while_it_changes_is_given_back_over_a_new_connection(how: str, play: Play) -> None:
    plan = play.look()
    play.step("node1", "begin", plan=plan)
    node = play.nodes["node1"]
    change, sleep = node.change, play._sleep

    def lost(want: ProxyChange) -> Any:
        node.seen = replace(node.seen, stored=change(want).id)
        getattr(play, how).add("node1")
        # What the module says does not come to the controller.
        raise RuntimeError

    def execute(**given: Any) -> dict[str, Any]:
        try:
            return Play._execute(play, **given)
        except RuntimeError:
            return Play._execute(play, **given)

    def later(seconds: float) -> None:
        sleep(seconds)
        play.mute = set()

    node.change = lost  # type: ignore[method-assign]
    play._execute = execute  # type: ignore[method-assign, assignment]
    play._sleep = later  # type: ignore[method-assign]
    for name in ("Reach", "take_steps"):
        getattr(kube_proxy, name).keywords["sleep"] = later
    said = play.step("node1", "switch", plan=plan, number=0)
    assert said["problems"][-1] == "it was given back what it had: kube-proxy runs iptables again"
    assert node.said == ["change ipvs", "restore 17-ipvs"]
    assert play.line.resets == (how == "lost")
    assert play.modes() == ["iptables"] * 3


def test_steps_want_a_plan(play: Play) -> None:
    assert "plan: is no result of the step plan" in play.step("node1", "switch", number=0)["msg"]


def _findings(play: Play, tmp_path: Path, host: str = "node1", task: str = "t", **given: Any) -> list[Finding]:
    check = kube_check(host, {**play.settings, **given})
    looked: list[int] = []

    def look() -> Any:
        looked.append(1)
        return play.nodes[host].look()

    found = kube_findings(check, look, lambda: play.cluster.api, str(tmp_path), task)
    for finding in found:
        assert finding.rule in RULE_INDEX
        assert finding.subject in SUBJECTS
    return list(found)


def test_drift_finds_nothing_where_a_run_would_change_nothing(play: Play, tmp_path: Path) -> None:
    play.run()
    assert _findings(play, tmp_path) == []
    assert _findings(play, tmp_path, "node2", mode="auto") == []


def test_drift_names_mode_settings_and_services(play: Play, tmp_path: Path) -> None:
    (mode,) = _findings(play, tmp_path)
    assert (mode.rule, mode.key, mode.intended, mode.running, mode.boot) == (
        "kube-proxy-mode",
        "mode",
        "ipvs",
        "iptables",
        "iptables",
    )
    play.nodes["node1"].wrong = {"iptables"}
    (service,) = _findings(play, tmp_path, mode="iptables")
    assert (service.rule, service.key) == ("kube-proxy-services", "tcp 10.96.0.10:80 (default/web:http)")
    (scheduler,) = _findings(play, tmp_path, mode="iptables", settings={"conntrack.min": 7})[:1]
    assert (scheduler.rule, scheduler.key, scheduler.intended) == ("kube-proxy-settings", "conntrack.min", "7")


def test_drift_expects_hints_for_nodes_of_versions_that_follow_them(play: Play, tmp_path: Path) -> None:
    (end,) = play.cluster.objects["endpointslices", "web-1"]["endpoints"]
    others = {**end, "addresses": ["10.244.2.6"], "hints": {"forNodes": [{"name": "node2"}]}}
    ends = [{**end, "hints": {"forNodes": [{"name": "node1"}]}}, others]
    play.cluster.objects["endpointslices", "web-1"]["endpoints"] = ends
    assert _findings(play, tmp_path, mode="iptables") == []
    play.cluster.objects["nodes", "node1"]["status"]["nodeInfo"] = {"kubeletVersion": "v1.33.5"}
    (missing,) = _findings(play, tmp_path, task="another", mode="iptables")
    assert missing.reason == "10.244.2.6:8080 is missing"


def test_drift_names_a_timeout_of_ipvs_that_somebody_has_changed_in_the_kernel(play: Play, tmp_path: Path) -> None:
    play.settings["tcp_timeout"] = "2h"
    play.run()
    for node in play.nodes.values():
        node.seen = replace(node.seen, timeouts={"tcp": 7200})
    assert _findings(play, tmp_path) == []
    play.nodes["node1"].seen = replace(play.nodes["node1"].seen, timeouts={"tcp": 900})
    (finding,) = _findings(play, tmp_path)
    assert (finding.rule, finding.key) == ("kube-proxy-settings", "ipvs.tcpTimeout")
    assert finding.reason == "the kernel forgets idle connections after 900 s, not after 7200 s"


def test_drift_asks_the_api_once_for_all_hosts(play: Play, tmp_path: Path) -> None:
    _findings(play, tmp_path, mode="iptables")
    play.cluster.silent = "timed out"
    assert _findings(play, tmp_path, "node2", mode="iptables") == []
    (unknown,) = _findings(play, tmp_path, "node2", task="another run", mode="iptables")
    assert (unknown.rule, unknown.severity) == ("kube-proxy-unverified", "warning")


def test_drift_looks_again_before_a_difference_counts(play: Play, tmp_path: Path) -> None:
    _findings(play, tmp_path, mode="iptables")
    # The API has changed since it was asked, and the node with it.
    play.cluster.objects["endpointslices", "web-1"]["endpoints"] = []
    play.nodes["node1"].wrong = {"iptables"}
    assert _findings(play, tmp_path, mode="iptables") == []


def test_drift_names_a_service_that_is_not_served_though_its_endpoints_change(play: Play, tmp_path: Path) -> None:
    _findings(play, tmp_path, mode="iptables")
    (endpoint,) = play.cluster.objects["endpointslices", "web-1"]["endpoints"][:1]
    play.cluster.objects["endpointslices", "web-1"]["endpoints"] = [{**endpoint, "addresses": ["10.244.9.9"]}]
    play.nodes["node1"].wrong = {"iptables"}
    (service,) = _findings(play, tmp_path, mode="iptables")
    assert (service.rule, service.key) == ("kube-proxy-services", "tcp 10.96.0.10:80 (default/web:http)")


def test_drift_names_a_change_without_an_end(play: Play, tmp_path: Path) -> None:
    play.begin(("node1",))
    play.run()
    assert [finding.rule for finding in _findings(play, tmp_path)] == ["kube-proxy-unfinished"]
    assert {finding.rule for finding in _findings(play, tmp_path, "node2", mode="iptables")} == {
        "kube-proxy-unfinished"
    }


def test_drift_of_what_cannot_be_meant_or_seen(play: Play, tmp_path: Path) -> None:
    (wrong,) = _findings(play, tmp_path, mode="userspace")
    assert wrong.rule == "declaration"
    play.nodes["node1"].lost = True
    (lost,) = _findings(play, tmp_path)
    assert (lost.rule, lost.reason) == ("kube-proxy-mode", "the connection was lost")


def test_drift_needs_root_to_judge(play: Play, tmp_path: Path) -> None:
    node = play.nodes["node1"]
    node.seen = replace(node.seen, limits=("this user is not root on the host",))
    (note,) = _findings(play, tmp_path)
    assert (note.rule, note.severity) == ("file-unjudged", "note")
    assert "use become" in play.step("node1", "look")["msg"]


def _without_kube_proxy(cluster: FakeCluster) -> None:
    """As kubeadm makes it with --skip-phases=addon/kube-proxy, for Cilium."""
    for kind in ("daemonsets", "configmaps"):
        del cluster.objects[kind, "kube-proxy"]
    cilium = {
        "metadata": {"namespace": "kube-system", "name": "cilium-config"},
        "data": {"kube-proxy-replacement": "true"},
    }
    cluster._put("configmaps", cilium)
    plugin = daemon_set(nodeSelector={"nobody": "has it"})
    plugin["metadata"]["name"] = "cilium"
    cluster._put("daemonsets", plugin)
    cluster._control()


def test_drift_of_a_cluster_without_kube_proxy_says_so_and_finds_no_fault(play: Play, tmp_path: Path) -> None:
    _without_kube_proxy(play.cluster)
    for mode in ("ipvs", "auto"):
        (note,) = _findings(play, tmp_path, mode=mode)
        assert (note.severity, note.key) == ("note", "kube-proxy")
        assert note.reason.startswith("there is no kube-proxy: Cilium does its work (ConfigMap cilium-config, ")


def test_drift_of_a_node_that_leaves_kube_proxy_out(play: Play, tmp_path: Path) -> None:
    node, base = play.nodes["node1"], "/etc/rancher/k3s/config.yaml"
    place = Place("k3s", RANCHER_FILES, base, "k3s.service")
    node.seen = replace(node.seen, place=place, files=(ProxyFile(base, "disable-kube-proxy: true\n"),))
    play.cluster.silent = "nobody has to be asked"
    (note,) = _findings(play, tmp_path)
    assert (note.severity, note.reason) == (
        "note",
        "there is no kube-proxy: k3s leaves it out here (disable-kube-proxy)",
    )
    # One that cannot be read is a fault as before.
    node.seen = replace(node.seen, files=(ProxyFile(base, "disable-kube-proxy: maybe\n"),))
    play.cluster.silent = ""
    assert "declaration" in {finding.rule for finding in _findings(play, tmp_path)}


def test_drift_asks_for_the_network_plugin_where_it_may(play: Play, tmp_path: Path) -> None:
    """Of nodes with files of their own nothing else of DaemonSets is needed."""
    _without_kube_proxy(play.cluster)
    play.cluster.forbidden = {("list", "daemonsets")}
    node, base = play.nodes["node1"], "/etc/rancher/k3s/config.yaml"
    place = Place("k3s", RANCHER_FILES, base, "k3s-agent.service")
    node.seen = replace(node.seen, place=place, kubernetes="v1.34.2", files=(ProxyFile(base, ""),))
    found = _findings(play, tmp_path)
    assert "kube-proxy-unverified" not in {finding.rule for finding in found}
    assert "kube-proxy-mode" in {finding.rule for finding in found}
    play.cluster.forbidden = set()
    (note,) = _findings(play, tmp_path, task="another")
    assert note.reason.startswith("there is no kube-proxy: Cilium")
