# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole road of the modules sysctl_file and qdisc on a fake host."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._converge import converge
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import Intent, bare_intent, values_intent
from tests.unit.plugins.fake_system import CONGESTION_CONTROL, DEFAULT_QDISC, FakeSystem

FIN = "net.ipv4.tcp_fin_timeout"
SOMAXCONN = "net.core.somaxconn"
FILE = "80-x.conf"
PATH = "/etc/sysctl.d/" + FILE


def values(given: dict[str, Any], **more: Any) -> Intent:
    return values_intent(bare_intent(FILE, **more), given, "values")


def host() -> FakeSystem:
    system = FakeSystem()
    system.add_interface("eth0", queues=2)
    system.add_interface("wg0", physical=False)
    return system


def test_values_are_set_with_their_reason_and_taken_back() -> None:
    system = host()
    before = system.snapshot()
    wanted = values({FIN: {"value": 30, "reason": "because"}, CONGESTION_CONTROL: "bbr"})
    answer = converge(system, wanted, check_mode=False)
    assert answer["changed"] is True
    assert (system.sysctls[FIN], system.sysctls[CONGESTION_CONTROL]) == ("30", "bbr")
    assert "# because\n%s = 30\n" % FIN in system.files[PATH].text
    assert "tcp_bbr" in system.files["/etc/modules-load.d/80-x.conf"].text
    assert answer["after"]["sysctl"][FIN] == "30"
    assert converge(system, wanted, check_mode=False)["changed"] is False
    assert converge(system, bare_intent(FILE), check_mode=False)["changed"] is True
    assert system.snapshot() == before
    json.dumps(answer)


def test_a_qdisc_is_set_and_taken_back() -> None:
    system = host()
    before = system.snapshot()
    wanted = replace(bare_intent(FILE), qdisc="fq")
    answer = converge(system, wanted, check_mode=False)
    assert answer["before"]["qdisc"] == {"eth0": "mq fq_codel"}
    assert answer["after"]["qdisc"] == {"eth0": "mq fq"}
    assert system.sysctls[DEFAULT_QDISC] == "fq"
    assert converge(system, wanted, check_mode=False)["changed"] is False
    converge(system, bare_intent(FILE), check_mode=False)
    assert system.snapshot() == before
    assert system.interfaces["eth0"].handle == "0:"


def test_pfifo_fast_is_in_every_kernel() -> None:
    system = host()
    converge(system, replace(bare_intent(FILE), qdisc="pfifo_fast"), check_mode=False)
    assert system.interfaces["eth0"].leaves == ["pfifo_fast"] * 2


def test_a_tunnel_that_is_named() -> None:
    system = host()
    before = system.snapshot()
    wanted = replace(bare_intent(FILE), qdisc="fq", qdisc_interfaces=("wg0",))
    converge(system, wanted, check_mode=False)
    assert (system.interfaces["wg0"].qdisc, system.interfaces["eth0"].leaves[0]) == ("fq", "fq_codel")
    converge(system, bare_intent(FILE), check_mode=False)
    assert system.snapshot() == before


def test_check_mode_says_the_same_and_does_nothing() -> None:
    system = host()
    before = system.snapshot()
    wanted = values({FIN: 30})
    said = converge(system, wanted, check_mode=True)
    assert system.snapshot() == before
    assert system.steps == []
    done = converge(system, wanted, check_mode=False)
    assert (said["changes"], said["diff"], said["after"]["sysctl"]) == (
        *(done["changes"], done["diff"], done["after"]["sysctl"]),
    )


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_the_host_cannot_do_is_an_error_in_check_mode_too(check_mode: bool) -> None:
    system = host()
    wanted = values({FIN: 30, "net.netfilter.nf_conntrack_max": 1048576})
    with pytest.raises(
        HostError, match=r"net\.netfilter\.nf_conntrack_max: this kernel has no such key here \(take it"
    ):
        converge(system, wanted, check_mode)
    assert system.steps == []
    answer = converge(system, replace(wanted, unsupported="warn"), check_mode)
    assert len(answer["warnings"]) == 1
    assert [finding["key"] for finding in answer["findings"]] == ["net.netfilter.nf_conntrack_max"]
    assert [change["key"] for change in answer["changes"]] == [FIN, PATH]


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_conflict_at_boot_is_an_error_in_check_mode_too(check_mode: bool) -> None:
    system = host()
    system.put("/etc/sysctl.d/99-z.conf", "%s = 60\n" % FIN)
    with pytest.raises(HostError, match=r"/etc/sysctl\.d/99-z\.conf:1 sets 60 and would win at the next boot over 30"):
        converge(system, values({FIN: 30}), check_mode)
    assert system.steps == []


@pytest.mark.parametrize(("force", "value"), [(False, "4096"), (True, "1024")])
def test_what_is_higher_stays_unless_forced(force: bool, value: str) -> None:
    system = host()
    answer = converge(system, values({SOMAXCONN: 1024}, force=force), check_mode=False)
    assert system.sysctls[SOMAXCONN] == value
    assert "%s = %s\n" % (SOMAXCONN, value) in system.files[PATH].text
    assert answer["changed"] is True
    assert converge(system, values({SOMAXCONN: 1024}, force=force), check_mode=False)["changed"] is False
