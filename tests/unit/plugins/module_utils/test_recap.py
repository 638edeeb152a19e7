# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._recap import (
    PENDING,
    WAITING,
    HostResult,
    headline_state,
    host_status,
    recap_lines,
    with_links,
)

CC = "net.ipv4.tcp_congestion_control"
FIN = "net.ipv4.tcp_fin_timeout"
PATH = "/etc/sysctl.d/90-netfleet-tcp.conf"


def changed(*changes: tuple[str, str, str, str], running: Any = None) -> HostResult:
    return HostResult("changed", changes, running or {})


def lines(results: dict[str, HostResult], check_mode: bool = False) -> list[str]:
    return [text for _style, text in recap_lines(results, check_mode)]


def test_hosts_with_the_same_change_are_one_entry() -> None:
    cubic, htcp = (changed(("sysctl", CC, before, "bbr")) for before in ("cubic", "htcp"))
    assert lines({"b10": cubic, "b9": cubic, "a1": htcp}) == [
        "a1, b9, b10: changed",
        "    sysctl  net.ipv4.tcp_congestion_control  cubic | htcp -> bbr",
    ]


def test_different_changes_are_different_entries() -> None:
    found = lines({"a": changed(("sysctl", CC, "cubic", "bbr")), "b": changed(("sysctl", CC, "cubic", "htcp"))})
    assert [line for line in found if line.endswith(": changed")] == ["a: changed", "b: changed"]


def test_more_than_two_values_from_before() -> None:
    found = lines({name: changed(("sysctl", FIN, name, "30")) for name in ("1", "2", "3")})
    assert found[1] == "    sysctl  %s  1 | 2 | ... -> 30" % FIN


def test_files_come_last_by_what_becomes_of_them() -> None:
    found = lines(
        {
            "a": changed(
                ("file", "/a", "absent", "file of mode 0644, 9 bytes"),
                ("sysctl", FIN, "60", "30"),
                ("qdisc", "eth0", "fq_codel", "fq"),
                ("file", "/b/a/very/long/path/that/does/not/widen/the/columns", "absent", "x"),
                ("file", "/b", "file of mode 0644, 9 bytes", "absent"),
                ("file", "/c", "file of mode 0644, 9 bytes", "file of mode 0644, 8 bytes"),
            )
        }
    )
    assert found[1:] == [
        "    sysctl  net.ipv4.tcp_fin_timeout  60 -> 30",
        "    qdisc   eth0                      fq_codel -> fq",
        "    file    /a  created",
        "    file    /b/a/very/long/path/that/does/not/widen/the/columns  created",
        "    file    /b  removed",
        "    file    /c  rewritten",
    ]


def test_check_mode_says_would_and_nothing_of_what_runs() -> None:
    running = {"sysctl": {CC: "bbr"}}
    assert lines({"a": changed(("sysctl", CC, "cubic", "bbr"), running=running)}, check_mode=True) == [
        "a: would change",
        "    sysctl  net.ipv4.tcp_congestion_control  cubic -> bbr",
    ]


def test_what_runs_now_is_said_once_for_hosts_that_agree() -> None:
    running = {"sysctl": {CC: "bbr", FIN: "60", "net.ipv4.tcp_rmem": None}, "qdisc": {"eth1": "fq", "eth0": "mq fq"}}
    found = lines({"a": HostResult("ok", running=running), "b": HostResult("ok", running=running)})
    assert found == [
        "a, b: as declared, nothing to change",
        "a, b: running now",
        "    congestion control  bbr",
        "    qdisc               eth0 mq fq, eth1 fq",
    ]


def test_hosts_that_failed_are_named_with_their_problems() -> None:
    found = list(
        recap_lines(
            {
                "a": HostResult("failed", problems=("x: wrong", "y: wrong")),
                "b": HostResult("failed", problems=("x: wrong", "y: wrong")),
                "c": HostResult("failed", problems=("z: wrong",)),
                "d": HostResult("unreachable", problems=("no route",)),
                "e": HostResult("ok"),
            },
            False,
        )
    )
    assert found == [
        ("ok", "e: as declared, nothing to change"),
        ("failed", "a, b: failed"),
        ("failed", "    x: wrong"),
        ("failed", "    y: wrong"),
        ("failed", "c: failed"),
        ("failed", "    z: wrong"),
        ("failed", "d: unreachable"),
        ("failed", "    no route"),
    ]


def test_a_refused_run_says_what_it_would_have_done() -> None:
    result = HostResult("failed", (("sysctl", FIN, "60", "30"),), problems=("x: wrong",))
    assert lines({"a": result}) == [
        *("a: failed", "    x: wrong", "    and, had it gone on:"),
        "        sysctl  net.ipv4.tcp_fin_timeout  60 -> 30",
    ]


def test_secrets_are_words() -> None:
    key = "net.ipv4.tcp_fastopen_key"
    found = lines({"a": changed(("sysctl", key, "<another secret %s>" % key, "<secret %s>" % key))})
    assert found[1] == "    sysctl  %s  <another secret> -> <secret>" % key


def test_a_thousand_hosts_are_one_line() -> None:
    eight, nine = (lines({"web%d" % number: HostResult("ok") for number in range(count)})[0] for count in (8, 9))
    assert eight == "web0, web1, web2, web3, web4, web5, web6, web7: as declared, nothing to change"
    assert nine.startswith("web0, web1, web2, web3, web4, web5 and 3 more (9 hosts): ")
    found = lines({"web%d" % number: HostResult("ok") for number in range(1000)})
    assert found == ["web0, web1, web2, web3, web4, web5 and 994 more (1000 hosts): as declared, nothing to change"]


def test_long_lines_are_clipped() -> None:
    line = lines({"a": changed(("sysctl", FIN, "6" * 100, "30"))})[1]
    assert len(line) == 118
    assert line.endswith("...")


@given(
    st.dictionaries(
        st.text(alphabet="ab0129²٣.-", min_size=1, max_size=6),
        st.builds(
            HostResult,
            status=st.sampled_from(["ok", "changed", "failed", "unreachable"]),
            changes=st.lists(
                st.tuples(
                    st.sampled_from(["sysctl", "file"]), st.sampled_from([FIN, CC]), st.text(max_size=3), st.just("1")
                ),
                max_size=2,
            ).map(tuple),
            problems=st.lists(st.text(max_size=3), max_size=1).map(tuple),
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_every_host_is_named_exactly_once(results: dict[str, HostResult], check_mode: bool) -> None:
    titles = [text for style, text in recap_lines(results, check_mode) if style != "plain" and text[:4] != "    "]
    named = ", ".join(title.rsplit(": ", 1)[0] for title in titles)
    assert sorted(named) == sorted(", ".join(results))


def test_thousands_of_problems_are_counted_not_listed() -> None:
    many = HostResult("failed", problems=tuple("problem %d" % number for number in range(5000)))
    lines = [text for _style, text in recap_lines({"h1": many}, check_mode=False)]
    assert len(lines) < 30
    assert lines[-1].strip() == "and 4980 more"


def test_only_what_is_shown_is_kept() -> None:
    running = {
        "sysctl": {"net.ipv4.tcp_congestion_control": "bbr", "net.ipv4.tcp_sack": "1"},
        "qdisc": {"eth0": "fq"},
        "file": {"/etc/sysctl.d/x.conf": "absent"},
    }
    kept = headline_state(running)
    assert kept == {"sysctl": {"net.ipv4.tcp_congestion_control": "bbr"}, "qdisc": {"eth0": "fq"}}
    assert list(recap_lines({"a": HostResult("ok", running=kept)}, False)) == list(
        recap_lines({"a": HostResult("ok", running=running)}, False)
    )


@pytest.mark.parametrize(
    ("status", "answer", "check_mode", "became"),
    [
        ("ok", {"to_change": {"desired": {}}}, False, "waiting"),
        ("changed", {"to_change": {"desired": {}}}, True, "changed"),
        ("ok", {}, False, "ok"),
        ("changed", {"change": {"outcome": "pending"}}, False, "pending"),
        ("ok", {"change": {"outcome": "confirmed"}}, False, "changed"),
        ("changed", {}, False, "changed"),
        ("failed", {"change": {"outcome": "reverted"}}, False, "reverted"),
        ("failed", {"change": {"outcome": "not confirmed"}}, False, "pending"),
        ("ok", {"not_made": {"msg": "no space"}}, False, "failed"),
        ("failed", {}, False, "failed"),
        ("unreachable", {}, False, "unreachable"),
    ],
)
def test_what_a_host_is_after_a_step(status: str, answer: dict[str, Any], check_mode: bool, became: str) -> None:
    assert host_status(status, answer, check_mode) == became


def test_a_run_that_stopped_says_which_hosts_are_new_old_and_reverted() -> None:
    entry = ("sysctl", FIN, "60", "30")
    found = lines(
        {
            "new": changed(entry),
            "old": HostResult("waiting", (entry,)),
            "back": HostResult("reverted", (entry,), problems=("the health gate failed: RTT",)),
            "between": HostResult("pending", (entry,)),
        }
    )
    assert found == [
        "new: changed",
        "    sysctl  net.ipv4.tcp_fin_timeout  60 -> 30",
        "old: not changed: the run did not come to their wave",
        ("between: not confirmed: each takes the change back by itself when its time is over, if it has not done so"),
        "back: as before: the change was taken back",
        "    the health gate failed: RTT",
    ]


@pytest.mark.parametrize(
    ("status", "links", "became"),
    [
        ("ok", None, "ok"),
        ("ok", "changed", "changed"),
        ("changed", "changed", "changed"),
        ("ok", PENDING, PENDING),
        ("failed", "changed", "failed"),
        (WAITING, "changed", WAITING),
    ],
)
def test_links_of_the_same_run_are_a_part_of_what_became_of_a_host(status: str, links: str | None, became: str) -> None:
    tcp = (("sysctl", "net.ipv4.tcp_fin_timeout", "60", "30"),) if status == "changed" else ()
    tunnel = (("tunnel", "wg-wan MTU", "1440", "1328"),)
    found = with_links(HostResult(status, changes=tcp), HostResult(links, changes=tunnel) if links else None)
    assert found.status == became
    assert found.changes == (*tcp, *(tunnel if links and status in ("ok", "changed") else ()))
