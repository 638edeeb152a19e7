# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make bench-links` makes of iperf3's answer, which is one of iperf 3.12 of Debian 12 over a loopback."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lab.fleet import Host
from tools import bench_links as bench
from tools.bench_links_report import (
    BEGIN,
    END,
    IPSEC,
    KINDS,
    PLAIN,
    WIREGUARD,
    Guest,
    Report,
    Transfer,
    parse_busy,
    parse_transfer,
    verdict,
)
from tools.shared import ToolError

RECORDED = (Path(__file__).parents[1] / "fixtures" / "iperf3" / "loopback.json").read_text(encoding="utf-8")
EMULATED = Guest("qemu", "6.1.0", frozenset({"sse2"}))
MTU = {PLAIN: 1500, WIREGUARD: 1440, IPSEC: 1446}
HOSTS = {name: Host(name, number, "bookworm", (), f"10.77.102.{number}", 0) for name, number in bench.NUMBERS.items()}


def transfer(speed: float, cpu: float, **more: int) -> Transfer:
    found = Transfer(
        bits_per_second=speed * 1e6,
        bytes=int(speed * 1e6),
        seconds=8.0,
        retransmits=0,
        mss=1448,
        sender=cpu / 2,
        receiver=cpu / 2,
    )
    return replace(found, **more)


def test_a_transfer_is_what_came_through() -> None:
    found = parse_transfer(RECORDED, 2.5, 1.5)
    said = json.loads(RECORDED)["end"]["sum_received"]
    assert found.bits_per_second == said["bits_per_second"]
    assert (found.bytes, found.retransmits, found.mss) == (1113849856, 4, 32768)
    assert found.cpu_per_gigabyte == pytest.approx(4.0 / 1.113849856)
    assert found.sender_cores == pytest.approx(2.5 / said["seconds"])
    assert found.receiver_cores == pytest.approx(1.5 / said["seconds"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("iperf3: error", "no JSON"),
        ('{"error": "unable to connect to server"}', "unable to connect"),
        ('{"end": {"sum_received": {"bytes": 0}}}', "has sent nothing"),
    ],
)
def test_an_answer_without_a_transfer_is_an_error(text: str, said: str) -> None:
    with pytest.raises(ToolError, match=said):
        parse_transfer(text, 1.0, 1.0)


def test_busy_is_all_but_idle_and_waiting() -> None:
    assert parse_busy("cpu  100 20 30 4000 500 6 7 8 90 0") == pytest.approx(1.71)
    with pytest.raises(ToolError, match="no line of /proc/stat"):
        parse_busy("cpu0 1")


def test_rounds_are_compared_in_pairs() -> None:
    """The second round came at a bad time for all; the ratios do not see it."""
    quick = {PLAIN: transfer(800, 4), WIREGUARD: transfer(200, 4), IPSEC: transfer(100, 4)}
    slow = {PLAIN: transfer(80, 4), WIREGUARD: transfer(20, 4), IPSEC: transfer(10, 4)}
    report = Report([quick, slow, quick], MTU, EMULATED)
    assert report.ratio(WIREGUARD, "bits_per_second") == pytest.approx(0.25)
    assert report.ratio(IPSEC, "cpu_per_gigabyte") == pytest.approx(8.0)
    assert report.median(PLAIN, "bits_per_second") == 800e6


def test_the_table_has_a_row_for_each_way() -> None:
    round_ = {PLAIN: transfer(800, 4), WIREGUARD: transfer(200, 4, mss=1388), IPSEC: transfer(100, 8, retransmits=3)}
    rows = Report([round_], MTU, EMULATED).rows()
    assert [row[0] for row in rows] == list(KINDS)
    assert rows[1] == (WIREGUARD, "200.0", "0.25", "20.0", "4.00", "0.25", "0.25", "1440", "1388", "0")
    assert rows[2][-3:] == ("1446", "1448", "3")


def test_without_rounds_there_is_no_report() -> None:
    with pytest.raises(ToolError, match="nothing was measured"):
        Report([], MTU, EMULATED)


def test_the_page_is_made_and_made_anew(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "bench-links.md"
    round_ = {kind: transfer(100, 4) for kind in KINDS}
    report = Report([round_], MTU, EMULATED)
    report.write(page)
    first = page.read_text(encoding="utf-8")
    assert "Medians of 1 rounds" in first
    assert verdict(EMULATED) in first
    page.write_text(first.replace("# What a link costs", "# A title of somebody's"), encoding="utf-8")
    report.write(page)
    again = page.read_text(encoding="utf-8")
    assert again.startswith("# A title of somebody's")
    assert (again.count(BEGIN), again.count(END)) == (1, 1)
    page.write_text("nothing", encoding="utf-8")
    with pytest.raises(ToolError, match="are not there"):
        report.write(page)


@pytest.mark.parametrize(
    ("virtualisation", "flags", "said"),
    [
        ("qemu", {"sse2"}, "it has no AES-NI"),
        ("qemu", {"aes"}, "one call into QEMU"),
        ("kvm", {"aes"}, "usually the cheaper of the two"),
        ("kvm", {"sse2"}, "no AES instructions"),
    ],
)
def test_the_verdict_says_what_the_figures_are_worth(virtualisation: str, flags: set[str], said: str) -> None:
    words = verdict(Guest(virtualisation, "6.1.0", frozenset(flags)))
    assert said in words
    assert ("emulated in software" in words) == (virtualisation == "qemu")


def test_the_inventory_joins_the_two_and_can_be_called() -> None:
    found = yaml.safe_load(bench.inventory(HOSTS))["all"]
    assert found["hosts"]["cloud1"] == {"wireguard_links_endpoint": "10.77.102.2"}
    (topology,) = found["vars"]["wireguard_links_topologies"]
    assert "wg-" + topology["name"] == bench.INTERFACE
    prefixes = [site["prefixes"] for site in found["vars"]["wireguard_links_sites"].values()]
    assert prefixes == [["10.197.101.0/24"], ["10.197.102.0/24"]]


def test_both_ends_of_ipsec_agree() -> None:
    here = bench.swanctl("10.77.102.1", "10.77.102.2", "local1", "cloud1", "s" * 32)
    there = bench.swanctl("10.77.102.2", "10.77.102.1", "cloud1", "local1", "s" * 32)
    assert "local_ts = 10.196.0.1/32\n        remote_ts = 10.196.0.2/32" in here
    assert "local_ts = 10.196.0.2/32\n        remote_ts = 10.196.0.1/32" in there
    for text in (here, there):
        assert 'secret = "%s"' % ("s" * 32) in text
        assert text.count("{") == text.count("}")
