# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Interface
from ansible_collections.netfleet.tcp.plugins.module_utils._qdisc import (
    boot_commands,
    commands,
    parse_tc,
    restore_commands,
    state_name,
    wanted_name,
)
from tests.unit.plugins.recorded_system import FIXTURES

NIC = Interface("eth0", up=True, physical=True, mtu=1500, queues=1, qdisc="fq_codel")
MQ = replace(NIC, queues=3, qdisc="mq", leaves=("fq_codel",) * 3)
TUNED = replace(NIC, qdisc="fq", handle="8001:")
TUNED_MQ = replace(MQ, handle="1:", leaves=("fq",) * 3)
TUNNEL = replace(NIC, name="wg0", physical=False, qdisc="noqueue")


def captured(name: str) -> str:
    return (FIXTURES / "tc" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (captured("mq-default.json"), {"ifb0": ("mq", "0:", ("pfifo_fast",) * 3)}),
        # The child of a leaf (pfifo below htb) and clsact are no leaves; tc lists the queues downwards.
        (
            captured("mq-htb.json"),
            {"v2": ("mq", "1:", ("pfifo_fast", "htb", "pfifo_fast", "pfifo_fast"))},
        ),
        ('[{"kind":"noqueue","handle":"0:","dev":"lo","root":true,"refcnt":2}]', {"lo": ("noqueue", "0:", ())}),
        # An htb of its own: what hangs below it is its own business.
        (
            '[{"kind":"htb","handle":"1:","dev":"e","root":true},{"kind":"fq","handle":"2:","dev":"e","parent":"1:10"}]',
            {"e": ("htb", "1:", ())},
        ),
        (
            # Queues are counted in hexadecimal.
            """[{"kind":"mq","handle":"8001:","dev":"e","root":true},
                {"kind":"sfq","handle":"0:","dev":"e","parent":"8001:10"},
                {"kind":"fq","handle":"0:","dev":"e","parent":"8001:9"},
                {"kind":"pfifo","handle":"0:","dev":"e","parent":"8001:a"}]""",
            {"e": ("mq", "8001:", ("fq", "pfifo", "sfq"))},
        ),
        ("", {}),
        ("[]", {}),
    ],
)
def test_what_tc_prints(text: str, found: dict[str, tuple[str, str, tuple[str, ...]]]) -> None:
    assert parse_tc(text) == found


def test_output_that_is_not_json_is_named() -> None:
    with pytest.raises(
        HostError, match=r"tc -j qdisc show: its output is not JSON: .* \(is iproute2 older than 4\.17\?\)"
    ):
        parse_tc("qdisc noqueue 0: dev lo root refcnt 2")


@pytest.mark.parametrize(
    ("interface", "name"),
    [
        (NIC, "fq_codel"),
        (MQ, "mq fq_codel"),
        (replace(MQ, leaves=("fq", "fq_codel", "fq")), "mq fq,fq_codel,fq"),
        (replace(MQ, leaves=()), "mq ?"),
    ],
)
def test_a_state_in_words(interface: Interface, name: str) -> None:
    assert state_name(interface) == name


@pytest.mark.parametrize(
    ("interface", "kind", "lines"),
    [
        (NIC, "fq", ["qdisc replace dev eth0 root fq"]),
        (
            MQ,
            "fq",
            [
                # Below the kernel's own mq (handle 0:) no leaf can be addressed.
                "qdisc replace dev eth0 root handle 1: mq",
                "qdisc replace dev eth0 parent 1:1 fq",
                "qdisc replace dev eth0 parent 1:2 fq",
                "qdisc replace dev eth0 parent 1:3 fq",
            ],
        ),
        (
            replace(TUNED_MQ, handle="8001:", queues=2),
            "sfq",
            ["qdisc replace dev eth0 parent 8001:1 sfq", "qdisc replace dev eth0 parent 8001:2 sfq"],
        ),
    ],
)
def test_commands_keep_mq(interface: Interface, kind: str, lines: list[str]) -> None:
    assert commands(interface, kind) == lines


def test_queues_are_numbered_in_hexadecimal() -> None:
    lines = commands(replace(MQ, handle="1:", queues=17), "fq")
    assert [line.split()[5] for line in lines[8:]] == ["1:9", "1:a", "1:b", "1:c", "1:d", "1:e", "1:f", "1:10", "1:11"]


def test_what_the_commands_lead_to() -> None:
    assert wanted_name(NIC, "fq") == "fq"
    assert wanted_name(MQ, "fq") == "mq fq"


@pytest.mark.parametrize(
    ("interface", "before", "default", "lines"),
    [
        # The kernel's default stood there: take ours away.
        (TUNED, "fq_codel", "fq_codel", ["qdisc del dev eth0 root"]),
        (TUNED_MQ, "mq fq_codel", "fq_codel", ["qdisc del dev eth0 root"]),
        # Something else did.
        (TUNED, "pfifo_fast", "fq_codel", ["qdisc replace dev eth0 root pfifo_fast"]),
        (
            replace(TUNED_MQ, queues=2),
            "mq sfq",
            "fq_codel",
            ["qdisc replace dev eth0 parent 1:1 sfq", "qdisc replace dev eth0 parent 1:2 sfq"],
        ),
        (
            TUNED_MQ,
            "mq fq_codel,sfq,fq_codel",
            "fq_codel",
            [
                "qdisc replace dev eth0 parent 1:1 fq_codel",
                "qdisc replace dev eth0 parent 1:2 sfq",
                "qdisc replace dev eth0 parent 1:3 fq_codel",
            ],
        ),
        # Meanwhile somebody replaced mq: it comes back.
        (
            replace(TUNED, queues=2),
            "mq sfq",
            "fq_codel",
            [
                "qdisc replace dev eth0 root handle 1: mq",
                "qdisc replace dev eth0 parent 1:1 sfq",
                "qdisc replace dev eth0 parent 1:2 sfq",
            ],
        ),
        # A root of handle 0: cannot be deleted.
        (NIC, "fq_codel", "fq_codel", ["qdisc replace dev eth0 root fq_codel"]),
        # A tunnel's default is noqueue whatever default_qdisc says.
        (replace(TUNNEL, qdisc="fq", handle="8001:"), "noqueue", "fq_codel", ["qdisc del dev wg0 root"]),
        (replace(TUNNEL, qdisc="fq", handle="8001:"), "noqueue", None, ["qdisc del dev wg0 root"]),
        (replace(TUNNEL, qdisc="fq", handle="8001:"), "fq_codel", "fq_codel", ["qdisc replace dev wg0 root fq_codel"]),
        # default_qdisc cannot be read in a container.
        (TUNED, "sfq", None, ["qdisc replace dev eth0 root sfq"]),
    ],
)
def test_giving_back(interface: Interface, before: str, default: str | None, lines: list[str]) -> None:
    assert restore_commands(interface, before, default) == lines


def test_at_boot_the_root_is_the_kernels_own() -> None:
    assert boot_commands({"eth0": "fq"}, [TUNED_MQ, TUNNEL]) == commands(MQ, "fq")
    assert boot_commands({"eth0": "fq", "wg0": "fq"}, [TUNNEL, NIC]) == [
        "qdisc replace dev wg0 root fq",
        "qdisc replace dev eth0 root fq",
    ]
    assert boot_commands({}, [NIC]) == []
