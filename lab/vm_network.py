# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet's own network: a bridge with one tap per virtual machine in a network namespace that nothing else uses."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.fleet import Host
from lab.paths import Settings
from lab.run import run

BRIDGE = "lab0"
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
MAX_ALIAS = 255


class FleetNetwork:
    """A network with a namespace of its own.

    It belongs to one directory, so that two clones of the project cannot take it from each other.
    """

    def __init__(self, namespace: str, owner: Path) -> None:
        self.namespace = namespace
        text = str(owner)
        self._owner = text if len(text) <= MAX_ALIAS else hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def of_instance(cls, settings: Settings) -> FleetNetwork:
        """The network of one instance of the lab."""
        return cls(f"netfleet-lab-{settings.offset}", settings.state_dir)

    def ensure(self, hosts: Sequence[Host]) -> None:
        """Make the namespace, the bridge and a tap for each host, as far as they are missing.

        :raises LabError: another clone runs the same instance, or the kernel refuses.
        """
        if not self._exists():
            run(["ip", "netns", "add", self.namespace], what="making the lab's network namespace", hint=self._hint())
        links = self._links()
        self._refuse_foreign(links)
        batch = []
        if BRIDGE not in links:
            batch += ["link set lo up", f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up"]
        batch.append(f'link set {BRIDGE} alias "{self._owner}"')
        for host in hosts:
            if tap_name(host) not in links:
                batch.append(f"tuntap add dev {tap_name(host)} mode tap vnet_hdr")
                batch.append(f"link set {tap_name(host)} master {BRIDGE} up")
        command = ["ip", "-n", self.namespace, "-batch", "-"]
        run(command, what="making the lab's network", stdin="\n".join(batch) + "\n", hint=self._hint())

    def remove(self) -> None:
        """Remove the namespace and with it all that is in it; nothing happens if it is not there or another clone's."""
        if not self._exists():
            return
        owner = self._links().get(BRIDGE, "")
        if owner in ("", self._owner):
            run(["ip", "netns", "delete", self.namespace], what="removing the lab's network namespace")

    def _hint(self) -> str:
        return "It needs root, the modules tun and bridge, and the right to make network namespaces."

    def _exists(self) -> bool:
        return Path("/run/netns", self.namespace).exists()

    def _links(self) -> dict[str, str]:
        """The interfaces of the namespace, with the alias of each."""
        done = run(["ip", "-n", self.namespace, "-json", "link", "show"], what="reading the lab's network")
        return {link["ifname"]: link.get("ifalias", "") for link in json.loads(done.stdout or "[]")}

    def _refuse_foreign(self, links: dict[str, str]) -> None:
        owner = links.get(BRIDGE, "")
        if owner not in ("", self._owner):
            raise LabError(
                f"{self.namespace}: this instance of the lab belongs to {owner}; stop it there (make lab-down), or"
                " choose another number with NETFLEET_LAB_OFFSET"
            )


def tap_name(host: Host) -> str:
    """The tap of a host in the fleet's namespace."""
    return f"tap{host.lab_id}"


def open_tap(namespace: str, name: str) -> int:
    """A file descriptor of a tap in a network namespace; the caller stays in its own namespace.

    QEMU gets the tap as an open file, because it must itself stay where its ssh port is reachable. Call it from a
    process with one thread.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(libc, there)
        try:
            descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            request = struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
            fcntl.ioctl(descriptor, TUNSETIFF, request)
        finally:
            _enter(libc, home)
    finally:
        os.close(home)
        os.close(there)
    return descriptor


def _enter(libc: ctypes.CDLL, namespace: int) -> None:
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
