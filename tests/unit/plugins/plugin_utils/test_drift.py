# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import NOT_PERMITTED, Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import make_plan
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_main import take_back
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import RULE_INDEX, SEVERITIES, SUBJECTS
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift import checked, drift
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_things import TUNE
from tests.unit.plugins.other_services import run_unit
from tests.unit.plugins.plugin_utils.a_host import EXTRA, MODULES, MTU_PROBING, OWN, AHost

CC = "net.ipv4.tcp_congestion_control"
RMEM = "net.ipv4.tcp_rmem"
UNIT = "/etc/systemd/system/90-netfleet-tcp-qdisc.service"
VENDOR = "/usr/lib/sysctl.d/99-vendor.conf"
TFO_KEY = "00000001-00000002-00000003-00000004"


def line_of(host: AHost, path: str, key: str) -> int:
    lines = host.system.files[path].text.splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.startswith(key))


def by_rule(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.rule: finding for finding in findings}


def test_a_host_that_was_just_tuned_is_in_step() -> None:
    assert AHost().tune().drift() == ()


def test_an_untuned_host_is_not() -> None:
    found = AHost().counted()
    assert {"sysctl", "congestion_control", "module", "qdisc", "file"} <= {finding.subject for finding in found}


def test_a_running_value_changed_by_hand() -> None:
    host = AHost().tune()
    host.system.sysctls[MTU_PROBING] = "0"
    found = host.only()
    assert (found.subject, found.key, found.severity, found.rule) == ("sysctl", MTU_PROBING, "error", "sysctl-running")
    assert (found.intended, found.running, found.boot) == ("1", "0", "1")
    assert (found.takes_effect, found.source) == ("now", "")
    assert "no file sets 0" in found.reason


def test_a_running_value_that_a_file_explains() -> None:
    """On Debian 13 the boot does not read /etc/sysctl.conf, but sysctl -p does."""
    host = AHost().tune()
    host.system.put("/etc/sysctl.conf", "# mine\n%s = 0\n" % MTU_PROBING)
    host.system.sysctls[MTU_PROBING] = "0"
    found = by_rule(host.drift())
    assert found["sysctl-running"].source == "/etc/sysctl.conf:2"
    assert found["sysctl-running"].boot == "1"
    assert found["sysctl-shadow"].severity == "note"
    assert host.tune().counted() == ()


def test_sysctl_conf_where_the_boot_reads_it() -> None:
    """On Debian 12 by the link 99-sysctl.conf; the place to edit is what the link stands for."""
    host = AHost().tune()
    host.system.put("/etc/sysctl.conf", "%s = 0\n" % MTU_PROBING)
    host.system.put("/etc/sysctl.d/99-sysctl.conf", kind="symlink", target="../sysctl.conf")
    found = host.only()
    assert (found.rule, found.boot, found.running) == ("sysctl-boot", "0", "1")
    assert found.source == "/etc/sysctl.conf:1"
    assert "99-sysctl.conf" in found.reason
    assert host.tune().counted() == ()


def test_a_vendor_file_with_a_later_name() -> None:
    host = AHost().tune()
    host.system.put(VENDOR, "\n# tuned for speed\n%s = 0\n" % MTU_PROBING)
    host.system.put("/var/lib/dpkg/info/speedy.list", "/.\n%s\n" % VENDOR)
    found = host.only()
    assert (found.rule, found.boot, found.source) == ("sysctl-boot", "0", VENDOR + ":3")
    assert (found.owner, found.takes_effect) == ("package speedy", "reboot")
    host.tune()
    assert host.counted() == ()
    assert "%s = 1" % MTU_PROBING in host.system.files[EXTRA].text
    assert host.system.files[VENDOR].text.endswith(" = 0\n")
    # Once the other file is gone, so is what overruled it.
    del host.system.files[VENDOR]
    assert [finding.key for finding in host.counted()] == [EXTRA]
    assert host.tune().drift() == ()
    assert EXTRA not in host.system.files


def test_another_ansible_role_is_named() -> None:
    host = AHost().tune()
    host.system.put("/etc/sysctl.d/99-x.conf", "# Ansible managed\n%s = 0\n" % MTU_PROBING)
    assert host.only().owner == "another Ansible role"


def test_a_line_of_ours_that_was_edited() -> None:
    host = AHost().tune()
    place = "%s:%d" % (OWN, line_of(host, OWN, MTU_PROBING))
    host.edit(OWN, MTU_PROBING + " = 1", MTU_PROBING + " = 2")
    found = by_rule(host.counted())
    assert set(found) == {"file-changed", "sysctl-boot"}
    assert (found["sysctl-boot"].boot, found["sysctl-boot"].source) == ("2", place)
    assert (found["file-changed"].source, found["file-changed"].reason) == (place, "is not as declared")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda system: system.put(OWN, kind="symlink", target="/dev/null"), "is masked by a link to /dev/null"),
        (lambda system: system.put(OWN, ""), "is empty, which masks it"),
        (lambda system: system.files.pop(OWN), "is missing"),
    ],
)
def test_our_file_masked_or_gone_is_said_once(change: Callable[[Any], object], reason: str) -> None:
    host = AHost().tune()
    change(host.system)
    found = host.only()
    assert (found.rule, found.key, found.severity) == ("file-changed", OWN, "error")
    assert found.reason.startswith(reason)
    assert host.tune().counted() == ()


def test_of_our_file_a_line_that_sets_something_is_named_rather_than_a_comment() -> None:
    host = AHost().tune()
    text = host.system.files[OWN].text.replace(MTU_PROBING + " = 1", MTU_PROBING + " = 2")
    first, *rest = text.splitlines()
    host.system.put(OWN, "\n".join([first + " (changed)", *rest]) + "\n")
    found = by_rule(host.counted())["file-changed"]
    assert (found.source, found.boot) == ("%s:%d" % (OWN, line_of(host, OWN, MTU_PROBING)), MTU_PROBING + " = 2")
    host.system.put(OWN, "\n".join([first, *rest]).replace(MTU_PROBING + " = 2", MTU_PROBING + " = 1") + "\n")
    host.edit(OWN, first, first + " (changed)")
    assert by_rule(host.counted())["file-changed"].source == OWN + ":1", "nothing but a comment differs"


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (lambda text: text + "# more\n", 0o644, "was added to"),
        (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", 0o644, "was cut off after line"),
        (lambda text: text, 0o666, "has mode 0666, not 0644"),
    ],
)
def test_what_was_done_to_our_file(text: Callable[[str], str], mode: int, reason: str) -> None:
    host = AHost().tune()
    host.system.put(OWN, text(host.system.files[OWN].text), mode)
    assert by_rule(host.counted())["file-changed"].reason.startswith(reason)


def test_a_missing_modules_load_entry() -> None:
    host = AHost().tune()
    del host.system.files[MODULES]
    found = {finding.key: finding for finding in host.counted()}
    assert set(found) == {"tcp_bbr", "sch_fq", MODULES}
    assert (found["tcp_bbr"].rule, found["tcp_bbr"].running, found["tcp_bbr"].boot) == (
        *("module-boot", "loaded", "not loaded"),
    )
    assert host.tune().drift() == ()


def test_a_module_that_another_file_loads_at_boot() -> None:
    host = AHost().tune()
    host.edit(MODULES, "tcp_bbr\n", "")
    host.system.put("/usr/lib/modules-load.d/x.conf", "# x\ntcp-bbr\n")
    assert [finding.key for finding in host.counted()] == [MODULES]


def test_a_module_that_was_forbidden_after_it_was_loaded() -> None:
    host = AHost().tune()
    host.system.put("/etc/modprobe.d/cis.conf", "install tcp_bbr /bin/false\n")
    found = host.only()
    assert (found.subject, found.key, found.severity, found.rule) == ("module", "tcp_bbr", "error", "module-boot")
    assert (found.running, found.boot, found.source) == ("loaded", "not loaded", "/etc/modprobe.d/cis.conf:1")
    assert found.cure != TUNE
    with pytest.raises(HostError, match=r"cis\.conf:1 keeps the next boot from loading it"):
        host.tune()


def test_a_qdisc_that_was_replaced() -> None:
    host = AHost().tune()
    host.system.interfaces["eth0"].qdisc = "pfifo_fast"
    found = host.only()
    assert (found.subject, found.key, found.intended, found.running, found.rule) == (
        *("qdisc", "eth0", "fq", "pfifo_fast", "qdisc-running"),
    )
    assert host.tune().drift() == ()


def test_a_qdisc_that_the_next_boot_would_not_set() -> None:
    host = AHost().tune()
    del host.system.files[UNIT]
    found = by_rule(host.counted())
    assert set(found) == {"qdisc-boot", "file-changed"}
    assert found["qdisc-boot"].source == UNIT


def test_a_dead_key_in_somebody_elses_file() -> None:
    host = AHost().tune()
    host.system.put("/etc/sysctl.d/10-old.conf", "net.ipv4.tcp_tw_recycle = 1\n")
    found = host.only()
    assert (found.rule, found.severity, found.source) == ("sysctl-dead", "warning", "/etc/sysctl.d/10-old.conf:1")
    assert "removed in Linux 4.12" in found.reason
    assert host.tune().counted() == ()
    assert "-net.ipv4.tcp_tw_recycle\n" in host.system.files[EXTRA].text


def tuned(host: AHost, reapply: str = "1") -> None:
    host.system.put("/run/systemd/units/invocation:tuned.service", kind="symlink", target="0123")
    host.system.put("/etc/tuned/active_profile", "fast\n")
    host.system.put("/etc/tuned/tuned-main.conf", "# x\nreapply_sysctl = %s\n" % reapply)
    host.system.put("/usr/lib/tuned/base/tuned.conf", "[main]\n[sysctl]\nnet.core.somaxconn=>2048\n")
    profile = '[main]\ninclude=base\n[sysctl]\n# buffers\nnet.ipv4.tcp_rmem="4096 87380 16777216"\n'
    host.system.put("/usr/lib/tuned/fast/tuned.conf", profile)


def test_an_active_tuned_profile_is_to_blame() -> None:
    host = AHost()
    tuned(host)
    host.system.sysctls[RMEM] = "4096\t87380\t16777216"
    found = {finding.key: finding for finding in host.drift()}[RMEM]
    assert (found.owner, found.source) == ("tuned (profile fast)", "/usr/lib/tuned/fast/tuned.conf:5")
    assert found.boot == "4096 87380 16777216"
    host.tune()
    assert host.counted() == ()
    assert [finding.severity for finding in host.drift() if finding.subject == "owner"] == ["note"]


def test_a_tuned_that_has_the_last_word() -> None:
    host = AHost().tune()
    tuned(host, reapply="0")
    found = by_rule(host.counted())
    assert (found["sysctl-boot"].key, found["sysctl-boot"].source) == (RMEM, "/usr/lib/tuned/fast/tuned.conf:5")
    assert found["owner-active"].severity == "warning"
    with pytest.raises(HostError, match=r"would win at the next boot over .* \(set reapply_sysctl = 1"):
        host.tune()


def test_where_conflicts_are_only_told_of_the_cure_does_not_promise_more() -> None:
    host = AHost(boot_conflict="warn").tune()
    host.system.put("/etc/sysctl.d/99-x.conf", "%s = 0\n" % MTU_PROBING)
    found = host.only()
    assert (found.rule, found.cure) == (
        "sysctl-boot",
        "the playbook tune leaves this: remove that line, or choose a file name for ours that sorts after it",
    )
    assert host.tune().only() == found


def test_tuned_reads_sysctl_conf_where_the_boot_does_not() -> None:
    host = AHost().tune()
    tuned(host)
    host.system.put("/etc/sysctl.conf", "%s = 0\n" % MTU_PROBING)
    assert (host.only().boot, host.only().source) == ("0", "/etc/sysctl.conf:1")


def test_bpftune_is_named() -> None:
    host = AHost().tune()
    host.system.put("/run/systemd/units/invocation:bpftune.service", kind="symlink", target="0123")
    assert (host.only().rule, host.only().owner) == ("owner-active", "bpftune")


NM_PROFILE = "/etc/NetworkManager/system-connections/uplink.nmconnection"


def network_manager(host: AHost, kind: str, interface: str = "eth0") -> None:
    run_unit(host.system, "NetworkManager")
    text = "[connection]\ninterface-name=%s\n[tc]\nqdisc.root=%s\n" % (interface, kind)
    host.system.put(NM_PROFILE, text, 0o600)


@pytest.mark.parametrize("interface", ["eth0", ""])
def test_a_connection_of_network_manager_that_brings_another_qdisc(interface: str) -> None:
    host = AHost().tune()
    network_manager(host, "fq_codel", interface)
    found = host.only()
    assert (found.rule, found.severity, found.owner) == ("owner-active", "warning", "NetworkManager")
    assert (found.source, "eth0" in found.reason) == (NM_PROFILE + ":4", True)
    host.system.interfaces["eth0"].qdisc = "fq_codel"
    replaced = by_rule(host.counted())["qdisc-running"]
    assert (replaced.owner, replaced.source) == ("NetworkManager", NM_PROFILE + ":4")


@pytest.mark.parametrize(("kind", "interface"), [("fq", "eth0"), ("fq_codel", "eth1")])
def test_a_connection_of_network_manager_that_is_not_in_the_way(kind: str, interface: str) -> None:
    host = AHost().tune()
    network_manager(host, kind, interface)
    assert host.drift() == ()


def test_a_script_of_network_manager_that_names_a_declared_key() -> None:
    host = AHost().tune()
    run_unit(host.system, "NetworkManager")
    host.system.put("/etc/NetworkManager/dispatcher.d/50-x", "#!/bin/sh\nsysctl -w %s=0\n" % MTU_PROBING, 0o755)
    found = host.only()
    assert (found.owner, found.source) == ("NetworkManager", "/etc/NetworkManager/dispatcher.d/50-x:2")
    assert MTU_PROBING in found.reason


def test_a_route_with_its_own_congestion_control() -> None:
    host = AHost().tune()
    route = {"dst": "10.8.0.0/16", "dev": "eth0", "protocol": "dhcp", "metrics": [{"congestion": "reno"}]}
    same = {"dst": "10.9.0.0/16", "dev": "eth0", "metrics": [{"initcwnd": 20}, {"congestion": "bbr"}]}
    host.system.routes += [route, same]
    found = host.only()
    assert (found.subject, found.key, found.running, found.owner) == ("route", "10.8.0.0/16 dev eth0", "reno", "DHCP")


def test_a_new_socket_that_gets_another_algorithm() -> None:
    host = AHost().tune()
    host.system.given_congestion_control = "cubic"
    found = host.only()
    assert (found.subject, found.intended, found.running) == ("congestion_control", "bbr", "cubic")


def test_a_file_that_cannot_be_read_is_never_in_step() -> None:
    host = AHost().tune()
    host.system.put("/etc/sysctl.d/50-x.conf", "%s = 0\n" % MTU_PROBING, mode=0o600)
    host.system.unreadable.add("/etc/sysctl.d/50-x.conf")
    found = host.only()
    assert (found.rule, found.source) == ("sysctl-unread", "/etc/sysctl.d/50-x.conf")


def test_what_is_no_longer_declared_is_left_over() -> None:
    host = AHost(overrides={"net.ipv4.tcp_syn_retries": 4}).tune()
    host.given = {}
    found = {finding.key: finding for finding in host.counted()}
    assert "no longer declared" in found["net.ipv4.tcp_syn_retries"].reason
    assert host.tune().drift() == ()


def test_a_declaration_that_was_taken_away() -> None:
    host = AHost().tune()
    host.given = {"state": "absent"}
    assert host.counted() != ()
    assert host.tune().drift() == ()


# Who may only look


def as_user(host: AHost) -> AHost:
    """The same host seen by a user who is not root."""
    system = host.system
    system.root = False
    system.limits = dict.fromkeys(system.sysctls, NOT_PERMITTED)
    directory = "/var/lib/netfleet-tcp"
    hidden = [path for path in system.files if path.startswith(directory + "/")]
    for path in hidden:
        del system.files[path]
    system.directories.add(directory)
    system.unreadable |= {path for path, state in system.files.items() if state.mode == 0o600}
    return host


def test_an_ordinary_user_finds_a_tuned_host_in_step() -> None:
    assert as_user(AHost().tune()).drift() == ()


def test_an_ordinary_user_is_not_told_what_only_root_may_read() -> None:
    host = as_user(AHost(fast_open_key=TFO_KEY).tune())
    host.system.unreadable.add("/proc/sys/net/ipv4/tcp_fastopen_key")
    found = host.drift()
    assert {(finding.rule, finding.severity) for finding in found} == {("file-unjudged", "note")}
    assert len(found) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [(MTU_PROBING, "0"), (CC, "cubic"), (RMEM, "4096\t131072\t6291456"), (RMEM, "4096\t131072\t999999999")],
)
def test_an_ordinary_user_sees_what_runs(key: str, value: str) -> None:
    host = AHost().tune()
    host.system.sysctls[key] = value
    as_root = host.counted()
    assert [finding.key for finding in as_root] == [key]
    assert as_user(host).counted() == as_root, "and the same cure"


def test_what_is_higher_by_itself_stays_in_step_for_an_ordinary_user() -> None:
    host = AHost()
    host.system.sysctls["net.core.somaxconn"] = "1000000"
    host.given = {"workloads": ["many_connections"]}
    assert as_user(host.tune()).drift() == ()


def test_a_folder_that_is_closed_to_this_user_is_told_of_once() -> None:
    host = as_user(AHost().tune())
    for path in [path for path in host.system.files if path.startswith("/etc/sysctl.d/")]:
        del host.system.files[path]
    host.system.unreadable.add("/etc/sysctl.d")
    assert {finding.key for finding in host.counted() if finding.rule != "file-changed"} == {"/etc/sysctl.d"}
    host.system.sysctls[MTU_PROBING] = "0"
    assert by_rule(host.counted())["sysctl-running"].key == MTU_PROBING, "what runs is judged all the same"


def test_where_files_are_not_asked_for_the_keys_tell_that_ours_is_gone() -> None:
    host = AHost().tune()
    del host.system.files[OWN]
    declaration, observed, resolved, desired = host.state()
    found = drift(desired, observed, resolved.findings, declaration.intent.file_name, ("sysctl",))
    assert MTU_PROBING in {finding.key for finding in found if finding.rule == "sysctl-boot"}


def test_where_nothing_applies_sysctl_d_the_host_is_not_in_step() -> None:
    host = AHost().tune()
    host.system.put("/etc/systemd/system/systemd-sysctl.service", kind="symlink", target="/dev/null")
    assert (host.only().key, host.only().severity, host.only().rule) == ("sysctl.d", "warning", "sysctl-boot")


def test_a_key_that_was_never_set_was_not_changed() -> None:
    found = {finding.key: finding for finding in AHost().counted()}
    assert found[MTU_PROBING].reason.startswith("it was never set here")


SECRETS = ["deadbeef-00000001-00000002-00000003"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/usr/lib/tuned/fast/tuned.conf", "[sysctl]\nnet.ipv4.tcp_fastopen_key=%s\n"),
        ("/etc/sysctl.d/99-x.conf", "net.ipv4.tcp_fastopen* = %s\n"),
        ("/etc/sysctl.d/zz.conf", "net.ipv4.tcp_fastopen = %s\n"),
        (OWN, "# old key-%s\n"),
        (OWN, "#  %s-\n"),
    ],
)
@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_of_anybody_is_told(path: str, text: str, secret: str) -> None:
    host = AHost(fast_open_key=TFO_KEY).tune()
    tuned(host, reapply="0")
    host.system.put(path, text % secret)
    _declaration, observed, _resolved, _desired = host.state()
    assert secret not in repr(observed)
    assert secret not in repr(host.drift())


def test_a_change_that_the_host_took_back_is_told() -> None:
    host = AHost()
    declaration, _observed, _resolved, desired = host.state()
    apply(host.system, desired, dict(declaration.secrets), Terms(120, "ann@controller"))
    pending = by_rule(host.drift())["change-pending"]
    assert pending.severity == "note"
    assert "by ann@controller waits to be confirmed for 120 s more" in pending.reason
    host.system.uptime += 120
    assert by_rule(host.drift())["change-pending"].severity == "error", "its clock died"
    take_back(host.system)
    found = by_rule(host.counted())
    assert "change-pending" not in found
    assert "was not confirmed within 120 s" in found["change-reverted"].reason
    assert host.tune().drift() == (), "a later change is the latest"


# For every host


SABOTAGE: list[Callable[[AHost], object]] = [
    lambda host: host.system.sysctls.update({MTU_PROBING: "0"}),
    lambda host: host.system.sysctls.update({CC: "cubic"}),
    lambda host: host.system.sysctls.update({RMEM: "4096\t87380\t6291456"}),
    lambda host: host.system.files.pop(OWN, None),
    lambda host: host.system.files.pop(MODULES, None),
    lambda host: host.system.files.pop(UNIT, None),
    lambda host: host.system.put(OWN, "%s = 7\n" % MTU_PROBING),
    lambda host: host.system.put(OWN, kind="symlink", target="/dev/null"),
    lambda host: host.system.put(VENDOR, "%s = 0\nnet.ipv4.tcp_fack = 1\n" % MTU_PROBING),
    lambda host: host.system.put("/etc/sysctl.d/95-x.conf", "-%s\nnet.*.tcp_rmem = 1 2 3\n" % MTU_PROBING),
    lambda host: setattr(host.system.interfaces["eth0"], "qdisc", "sfq"),
    lambda host: host.given.update(workloads=["many_connections", "proxy"]),
    lambda host: host.given.update(profile="local"),
    lambda host: host.given.update(qdisc="none"),
    lambda host: host.given.update(state="absent"),
]


@settings(max_examples=60, deadline=None)
@given(sabotage=st.lists(st.sampled_from(range(len(SABOTAGE))), max_size=4))
def test_in_step_means_that_tuning_has_nothing_to_do(sabotage: list[int]) -> None:
    host = AHost().tune()
    for number in sabotage:
        SABOTAGE[number](host)
    _declaration, observed, _resolved, desired = host.state()
    plan = make_plan(desired, observed)
    found = host.counted()
    assert bool(found) == bool(plan.changes or plan.findings), (found, plan)
    host.tune()
    assert host.counted() == ()


@settings(max_examples=40, deadline=None)
@given(sabotage=st.lists(st.sampled_from(range(len(SABOTAGE))), max_size=5))
def test_every_finding_is_complete(sabotage: list[int]) -> None:
    host = AHost().tune()
    for number in sabotage:
        SABOTAGE[number](host)
    for finding in host.drift():
        assert finding.rule in RULE_INDEX
        assert finding.subject in SUBJECTS
        assert finding.severity in SEVERITIES
        assert finding.reason
        assert finding.key


def test_what_was_compared_is_counted() -> None:
    host = AHost().tune()
    _declaration, observed, _resolved, desired = host.state()
    counts = checked(desired, observed)
    assert counts["sysctl"] + counts["congestion_control"] == len(desired.keys)
    assert (counts["qdisc"], counts["module"], counts["file"]) == (1, 2, 4)


# What was found by trying to break it


def test_where_tuning_would_refuse_the_cure_is_another() -> None:
    host = AHost().tune()
    host.system.put("/etc/sysctl.d/zzz.conf", "%s = 0\n" % MTU_PROBING)
    found = host.only()
    assert "refuses" in found.cure
    assert "remove that line" in found.cure


def test_an_overruled_file_is_a_conflict_again_where_nothing_is_overruled() -> None:
    host = AHost().tune()
    host.system.put(VENDOR, "%s = 0\n" % MTU_PROBING)
    host.tune()
    host.given = {"boot_conflict": "fail"}
    assert "error" in {finding.severity for finding in host.drift()}


def test_another_declaration_of_ours_is_never_overruled() -> None:
    host = AHost().tune()
    host.system.put("/etc/sysctl.d/95-own.conf", "# Managed by netfleet.tcp: x\n%s = 0\n" % MTU_PROBING)
    assert host.only().owner == "another declaration of netfleet.tcp"
    with pytest.raises(Exception, match="95-own"):
        host.tune()
    assert EXTRA not in host.system.files


def test_a_comment_in_the_overruled_file_is_no_drift() -> None:
    host = AHost().tune()
    host.system.put(VENDOR, "%s = 0\n" % MTU_PROBING)
    host.tune()
    host.system.put(VENDOR, "# more\n\n%s = 7\n" % MTU_PROBING)
    assert host.counted() == ()


def test_a_file_name_writes_no_line_into_ours() -> None:
    host = AHost().tune()
    host.system.put("/etc/sysctl.d/95-x\nnet.ipv4.ip_default_ttl = 33\n#.conf", "%s = 0\n" % MTU_PROBING)
    host.tune()
    assert not any(line.startswith("net.ipv4.ip_default_ttl") for line in host.system.files[EXTRA].text.splitlines())


def test_a_dead_key_that_sorts_after_ours_is_not_promised_away() -> None:
    host = AHost().tune()
    host.system.put("/etc/sysctl.d/zzz.conf", "net.ipv4.tcp_fack = 1\n")
    assert "tune" not in host.only().cure
    assert EXTRA not in host.tune().system.files


@pytest.mark.parametrize("line", ["# old: %s", "net.ipv4.tcp_fastopen_key: %s", "net.ipv4.tcp_fastopen_ke = %s"])
def test_an_old_secret_is_in_no_finding(line: str) -> None:
    secret = "cafe0001-00000002-00000003-00000004"
    host = AHost(fast_open_key=TFO_KEY).tune()
    for path in ("/etc/sysctl.d/90-netfleet-tcp-secret.conf", OWN):
        host.system.put(path, line % secret + "\n" + host.system.files[path].text, host.system.files[path].mode)
    assert len(host.counted()) >= 2
    assert secret not in repr(host.drift())


def test_routes_that_could_not_be_looked_at_are_not_counted_as_compared() -> None:
    host = AHost().tune()
    host.system.put("/proc/net/fib_triestat", "Main:\n\tLeaves:         900000\n")
    assert [(finding.subject, finding.rule) for finding in host.drift()] == [("route", "file-unjudged")]
    _declaration, observed, _resolved, desired = host.state()
    assert "route" not in checked(desired, observed)


def test_a_closed_directory_is_never_in_step() -> None:
    host = as_user(AHost().tune())
    host.system.unreadable.add("/usr/local/lib/sysctl.d")
    assert (host.only().rule, host.only().key) == ("sysctl-unread", "/usr/local/lib/sysctl.d")
