# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make bench-links` measured: iperf3's answers and /proc/stat read, compared in pairs, and its page in docs/."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._throughput import Throughput, parse_iperf3
from tools.page import MarkedPage, machine, markdown, today
from tools.shared import ToolError

PLAIN, WIREGUARD, IPSEC = "plain TCP", "WireGuard", "IPsec ESP"
KINDS = (PLAIN, WIREGUARD, IPSEC)
BEGIN = "<!-- bench-links: begin (written by `make bench-links`) -->"
END = "<!-- bench-links: end -->"
PAGE = f"""# What a link costs

`make bench-links` starts two virtual machines of the lab (Debian 12), joins them by WireGuard with our own playbook and
by IPsec with strongSwan (ESP in tunnel mode, AES-128-GCM), and sends TCP by iperf3 from one to the other: without a
tunnel, through the one, through the other, in turn, so that what else the machine does falls on all alike. A round's
figures are divided by the plain ones of the same round; the medians of these ratios are what counts.

{BEGIN}
{END}

CPU is all that the kernel counted as busy on an end while the bytes went, the kernel threads that encrypt among it;
iperf3 itself does not see these. Busy is in cores: 1.0 is one that did nothing else. MTU is that of the tunnel's
interface, or what ESP leaves of the path's; MSS is that of the connection.
"""
_TICKS = 100  # of /proc/stat in a second: USER_HZ, on all that Linux runs on here


@dataclass(frozen=True)
class Transfer(Throughput):
    """One transfer. sender, receiver: seconds of CPU that the ends were busy with it."""

    sender: float
    receiver: float

    @property
    def cpu_per_gigabyte(self) -> float:
        """CPU seconds of both ends for 10^9 bytes."""
        return (self.sender + self.receiver) / (self.bytes / 1e9)

    @property
    def sender_cores(self) -> float:
        """How many cores of the sender it kept busy."""
        return self.sender / self.seconds

    @property
    def receiver_cores(self) -> float:
        """How many cores of the receiver it kept busy."""
        return self.receiver / self.seconds


@dataclass(frozen=True)
class Guest:
    """What the hosts are. virtualisation: as systemd-detect-virt says it (qemu: emulated). flags: of the CPU."""

    virtualisation: str
    kernel: str
    flags: frozenset[str]


def parse_busy(line: str) -> float:
    """Seconds that all CPUs were busy since the boot, from the first line of /proc/stat."""
    words = line.split()
    if words[:1] != ["cpu"] or len(words) < 9:
        raise ToolError(f"no line of /proc/stat: {line!r}")
    # user, nice, system, idle, iowait, irq, softirq, steal; what follows is in user and nice already.
    ticks = [int(word) for word in words[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / _TICKS


def parse_transfer(text: str, sender: float, receiver: float) -> Transfer:
    """From iperf3's JSON, and the seconds of CPU that it took on both ends. ToolError where nothing was sent."""
    try:
        found = parse_iperf3(text)
    except HostError as error:
        raise ToolError(str(error)) from error
    return Transfer(**vars(found), sender=sender, receiver=receiver)


def verdict(guest: Guest) -> str:
    """What the figures are worth, in a sentence."""
    aes = "aes" in guest.flags
    if guest.virtualisation == "qemu":
        has = (
            "the emulated CPU has AES instructions, each of which is one call into QEMU, while ChaCha20 is run"
            " operation by operation"
            if aes
            else "it has no AES-NI"
        )
        return (
            "The machines are emulated in software (TCG): every instruction is a dozen others, vector units gain"
            f" little, and {has}. What a tunnel takes of each packet (MTU, MSS) holds, and that it costs CPU; neither"
            " the throughput nor the ratio of one to the other says anything of real hosts."
        )
    has = (
        "and AES instructions, by which AES-GCM is usually the cheaper of the two" if aes else "and no AES instructions"
    )
    return f"The machines run on the CPU itself ({guest.virtualisation}), with its vector units {has}."


class Report:
    """Rounds, each with one transfer of each kind, and the MTU that each kind leaves."""

    HEAD = ("way", "Mbit/s", "x plain", "CPU s a GB", "x plain", "sender busy", "receiver busy", "MTU", "MSS", "resent")

    def __init__(self, rounds: Sequence[Mapping[str, Transfer]], mtu: Mapping[str, int], guest: Guest) -> None:
        if not rounds:
            raise ToolError("nothing was measured")
        self.rounds, self.mtu, self.guest = rounds, mtu, guest

    def median(self, kind: str, what: str) -> float:
        """Median of a figure of a kind."""
        return float(statistics.median(getattr(found[kind], what) for found in self.rounds))

    def ratio(self, kind: str, what: str) -> float:
        """Median of a figure relative to the plain one of the same round."""
        return float(
            statistics.median(getattr(found[kind], what) / getattr(found[PLAIN], what) for found in self.rounds)
        )

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text for each way."""
        return [
            (
                kind,
                f"{self.median(kind, 'bits_per_second') / 1e6:.1f}",
                f"{self.ratio(kind, 'bits_per_second'):.2f}",
                f"{self.median(kind, 'cpu_per_gigabyte'):.1f}",
                f"{self.ratio(kind, 'cpu_per_gigabyte'):.2f}",
                f"{self.median(kind, 'sender_cores'):.2f}",
                f"{self.median(kind, 'receiver_cores'):.2f}",
                str(self.mtu[kind]),
                str(int(self.median(kind, "mss"))),
                str(int(self.median(kind, "retransmits"))),
            )
            for kind in KINDS
        ]

    def table(self) -> str:
        """In Markdown that reads well as plain text too."""
        return markdown(self.HEAD, self.rows())

    def write(self, page: Path) -> None:
        """Replace the table on its page; the page is made if it is not there."""
        guests = f"two machines ({self.guest.virtualisation}, Linux {self.guest.kernel}) on {machine()}"
        told = f"Medians of {len(self.rounds)} rounds, {guests}, {today()}; `make bench-links` on yours:"
        MarkedPage(PAGE, BEGIN, END).write(page, f"{told}\n\n{self.table()}\n\n{verdict(self.guest)}")
