# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Waiver
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import HOST_FAILED, HOST_UNREACHABLE, SYSCTL_RUNNING
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waivers import (
    Tolerance,
    matches_host,
    read_waivers,
    waived,
)

RMEM = "net.ipv4.tcp_rmem"
TODAY = datetime.date(2026, 11, 22)
PATH = "tcp_drift_waivers"
GOOD = {"hosts": "gw*", "key": RMEM, "reason": "NET-4711", "expires": "2027-01-31"}


def entry(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not None}


def only(**changes: Any) -> Tolerance:
    (found,) = read_waivers([entry(**changes)], PATH)
    return found


def problems(given_waivers: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_waivers(given_waivers, PATH)
    return [problem.path for problem in caught.value.problems]


def finding(**changes: Any) -> Finding:
    return Finding(
        **{"subject": "sysctl", "key": RMEM, "severity": "error", "reason": "x", "rule": SYSCTL_RUNNING, **changes}
    )


def on(host: str, findings: list[Finding], *tolerances: Tolerance, groups: tuple[str, ...] = ()) -> list[Finding]:
    return list(waived(findings, tolerances, host, groups, TODAY))


# What the inventory says


def test_a_waiver_as_yaml_gives_it() -> None:
    text = """
    - hosts: gw*
      key: net.ipv4.tcp_rmem
      subject: sysctl
      reason: |
        measured with the vendor,
        NET-4711
      expires: 2027-01-31
    """
    assert read_waivers(yaml.safe_load(text), PATH) == (
        Tolerance("gw*", RMEM, "measured with the vendor, NET-4711", datetime.date(2027, 1, 31), "sysctl"),
    )


@pytest.mark.parametrize(
    "text", ["2027-01-31", '"2027-01-31"', "' 2027-01-31 '", "2027-01-31 12:30:00", "2027-01-31T12:30:00Z", "20270131"]
)
def test_dates_as_yaml_gives_them(text: str) -> None:
    assert only(expires=yaml.safe_load(text)).expires == datetime.date(2027, 1, 31)


@pytest.mark.parametrize("given_date", ["2027-02-30", "31.01.2027", "2027-1-31", "soon", 2.5, True, ["2027-01-31"]])
def test_what_is_no_date(given_date: Any) -> None:
    assert problems([entry(expires=given_date)]) == [PATH + "[0].expires"]


def test_numbers_may_stand_for_words() -> None:
    assert (only(reason=4711).reason, only(hosts=7).hosts) == ("4711", "7")


@pytest.mark.parametrize("name", ["hosts", "key", "reason", "expires"])
@pytest.mark.parametrize("value", [None, "", "  ", []])
def test_every_waiver_says_where_what_why_and_until_when(name: str, value: Any) -> None:
    assert problems([entry(**{name: value})]) == ["%s[0].%s" % (PATH, name)]


@pytest.mark.parametrize("name", ["hosts", "key", "reason", "subject"])
@pytest.mark.parametrize("value", [["gw1", "gw2"], {"a": 1}, 1.5])
def test_what_is_no_text(name: str, value: Any) -> None:
    assert problems([entry(**{name: value})]) == ["%s[0].%s" % (PATH, name)]


@pytest.mark.parametrize("name", ["hosts", "key", "reason"])
def test_a_truth_value_is_no_text(name: str) -> None:
    """What YAML makes of yes and no."""
    assert problems([entry(**{name: yaml.safe_load("yes")})]) == ["%s[0].%s" % (PATH, name)]


@pytest.mark.parametrize("subject", ["sysctls", "SYSCTL", 7])
def test_a_subject_that_there_is_not(subject: Any) -> None:
    with pytest.raises(InputError, match=r"tcp_drift_waivers\[0\].subject: .* is not known \(one of: sysctl, "):
        read_waivers([entry(subject=subject)], PATH)


@pytest.mark.parametrize("hosts", ["!", ",", ":", "&!", "~", "~,&"])
def test_a_pattern_that_names_no_host(hosts: str) -> None:
    """Ansible takes some of them for all hosts."""
    assert problems([entry(hosts=hosts)]) == [PATH + "[0].hosts"]


@pytest.mark.parametrize("hosts", ["gw[0]", "web[1:3]", "all:!web[0]", "web[2:]", "db[-1]"])
def test_a_place_in_a_group_is_no_host(hosts: str) -> None:
    """Ansible counts the group's hosts there: who is meant would change with the inventory, and is not known here."""
    assert problems([entry(hosts=hosts)]) == [PATH + "[0].hosts"]


@pytest.mark.parametrize("hosts", ["~gw(", "all:!~*", "&~(a,b"])
def test_an_expression_that_is_none(hosts: str) -> None:
    assert problems([entry(hosts=hosts)]) == [PATH + "[0].hosts"]


def test_all_problems_are_said_at_once() -> None:
    given_waivers = [
        entry(),
        entry(reason="", expires="soon", subject="sysctls"),
        "gw*",
        entry(host="gw1", hosts=None),
    ]
    assert problems(given_waivers) == [
        PATH + "[1].reason",
        PATH + "[1].expires",
        PATH + "[1].subject",
        PATH + "[2]",
        PATH + "[3].hosts",
        PATH + "[3].host",
    ]


@pytest.mark.parametrize("given_waivers", ["gw*", {"hosts": "gw*"}, 7, True])
def test_what_is_no_list(given_waivers: Any) -> None:
    assert problems(given_waivers) == [PATH]


@pytest.mark.parametrize("text", ["[]", "", "# all of them are gone"])
def test_no_waivers(text: str) -> None:
    assert read_waivers(yaml.safe_load(text), PATH) == ()


# Which hosts


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("gw1", True),
        ("gw*", True),
        ("g?1", True),
        ("gw[12]x", False),
        ("all", True),
        ("*", True),
        ("edge", True),
        ("ed*", True),
        ("~g.[0-9]$", True),
        ("~w1", False),
        ("web,gw1", True),
        ("web:gw1", True),
        ("edge:!gw1", False),
        ("!gw1", False),
        ("!gw2", True),
        ("edge:&cloud", False),
        ("edge:&all", True),
        ("&edge", True),
        ("!gw1:edge", False),
        ("GW1", False),
        ("gw", False),
    ],
)
def test_patterns(pattern: str, chosen: bool) -> None:
    assert matches_host(pattern, "gw1", ["edge"]) is chosen


HOSTS = ["web1", "web2", "db1", "gw-a.example"]
GROUPS = ["web", "cloud", "edge-1"]
TERMS = [
    *HOSTS,
    *GROUPS,
    *(
        "all",
        "*",
        "ungrouped",
        "web*",
        "*1",
        "w?b1",
        "*.example",
        "[wd]*",
        "nothing",
        "~web[12]",
        "~.*1",
        "~^c",
        "~all",
    ),
]
MODIFIED = st.builds("".join, st.tuples(st.sampled_from(["", "", "!", "&"]), st.sampled_from(TERMS)))


@given(
    members=st.fixed_dictionaries({group: st.sets(st.sampled_from(HOSTS)) for group in GROUPS}),
    nested=st.booleans(),
    terms=st.lists(MODIFIED, min_size=1, max_size=4),
    separator=st.sampled_from([",", ":", ", "]),
)
def test_patterns_choose_whom_ansible_chooses(
    members: dict[str, set[str]], nested: bool, terms: list[str], separator: str
) -> None:
    inventory = InventoryManager(loader=DataLoader(), sources=None)
    for group in GROUPS:
        inventory.add_group(group)
    for host in HOSTS:
        inventory.add_host(host)
    for group, hosts in members.items():
        for host in sorted(hosts):
            inventory.add_host(host, group)
    if nested:
        inventory._inventory.add_child("cloud", "web")
    inventory.reconcile_inventory()
    pattern = separator.join(terms)
    chosen = {host.name for host in inventory.get_hosts(pattern)}
    # As the variable group_names has them.
    groups = {
        host: [group.name for group in inventory.get_host(host).get_groups() if group.name != "all"] for host in HOSTS
    }
    assert {host for host in HOSTS if matches_host(pattern, host, groups[host])} == chosen, pattern


# What is hidden


def test_a_finding_that_is_tolerated_keeps_its_place() -> None:
    other = finding(key="net.core.somaxconn")
    found = on("gw1", [other, finding()], only())
    assert found == [other, finding(waiver=Waiver("NET-4711", "2027-01-31"))]


@pytest.mark.parametrize(
    ("changes", "hidden"),
    [
        ({}, True),
        ({"key": "net.ipv4.*"}, True),
        ({"key": "*"}, True),
        ({"key": "net.ipv4"}, False),
        ({"key": "NET.IPV4.TCP_RMEM"}, False),
        ({"subject": "sysctl"}, True),
        ({"subject": "file"}, False),
        ({"hosts": "web*"}, False),
        ({"hosts": "edge"}, True),
        ({"expires": TODAY}, True),
    ],
)
def test_which_findings_are_hidden(changes: dict[str, Any], hidden: bool) -> None:
    (found,) = on("gw1", [finding()], only(**changes), groups=("edge",))
    assert (found.waiver is not None) is hidden


def test_of_two_waivers_the_first_is_named() -> None:
    (found,) = on("gw1", [finding()], only(reason="first", key="*"), only(reason="second"))
    assert found.waiver == Waiver("first", "2027-01-31")


def test_an_expired_waiver_hides_nothing_and_is_a_finding() -> None:
    found = on("gw1", [finding()], only(expires=TODAY - datetime.timedelta(days=1)))
    assert found[0] == finding()
    assert [(each.rule, each.severity, each.subject, each.key) for each in found[1:]] == [
        ("waiver-expired", "warning", "host", RMEM + " on gw*")
    ]
    assert "2026-11-21" in found[1].reason
    assert "NET-4711" in found[1].reason


def test_a_renewed_waiver_still_hides_while_the_old_one_is_named() -> None:
    found = on("gw1", [finding()], only(expires="2026-01-31"), only())
    assert [each.waiver is not None for each in found] == [True, False]
    assert found[1].severity == "note", "what it hid is hidden by the renewed one"


def test_an_expired_waiver_that_hides_nothing_any_more_is_a_note() -> None:
    found = on("gw1", [finding(key="net.core.somaxconn")], only(expires="2026-01-31"))
    assert [(each.rule, each.severity) for each in found[1:]] == [("waiver-expired", "note")]
    assert on("gw1", [], only(expires="2026-01-31"))[0].cure == "take it out of the inventory"


def test_where_only_some_subjects_were_asked_for_nothing_is_said_of_waivers_that_hid_none_of_these() -> None:
    today = datetime.date.fromisoformat(str(TODAY))
    expired = [only(expires="2026-01-31")]
    assert waived([], expired, "gw1", [], today, partial=True) == ()
    assert [each.severity for each in waived([finding()], expired, "gw1", [], today, partial=True)][1:] == ["warning"]


def test_an_expired_waiver_is_named_on_its_own_hosts_alone() -> None:
    assert on("web1", [finding()], only(expires="2026-01-31")) == [finding()]


@pytest.mark.parametrize("rule", [HOST_UNREACHABLE, HOST_FAILED, "waiver-expired"])
def test_silence_cannot_be_waived(rule: str) -> None:
    lost = finding(subject="host", key="host", rule=rule)
    assert on("gw1", [lost], only(key="*", hosts="all")) == [lost]
