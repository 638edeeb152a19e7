# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that was recorded (tests/unit/fixtures): answers as the real one did. Whoever changes it fails."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState

FIXTURES = Path(__file__).parent.parent / "fixtures"
HOSTS = ("bookworm-vm", "trixie-vm-tuned", "container")


class RecordedSystem:
    """Implements _system.System from a host.json."""

    def __init__(self, name: str) -> None:
        self.data: dict[str, Any] = json.loads((FIXTURES / name / "host.json").read_text(encoding="utf-8"))
        self.ran: list[list[str]] = []

    def read(self, path: str) -> str | None:
        if path.startswith("/proc/sys/"):
            entry = self.data["sysctls"].get(path[len("/proc/sys/") :].replace("/", "."))
            return None if entry is None else str(entry["text"])
        text = self.data["files"].get(path)
        return None if text is None else str(text)

    def read_or_why(self, path: str) -> tuple[str | None, str]:
        return self.read(path), ""

    def closed(self, directory: str) -> bool:
        return directory in self.data.get("closed", ())

    def names(self, directory: str) -> list[str]:
        return list(self.data["names"].get(directory, []))

    def file_state(self, path: str) -> FileState:
        state = self.data["states"].get(path)
        if state is None:
            return FileState(path)
        text = self.data["files"].get(path, "") if state["kind"] == "file" else ""
        return FileState(path, state["kind"], int(state.get("mode", "0"), 8), text, state.get("target", ""))

    def sysctl_limit(self, name: str) -> str:
        entry = self.data["sysctls"].get(name)
        if entry is None:
            return "this kernel has no such key here"
        return "" if entry["writable"] else "the key is read-only here"

    def new_socket_congestion_control(self) -> str:
        return str(self.data["new_socket_congestion_control"])

    def facts(self) -> dict[str, str]:
        mapping = self.data["files"]["/proc/self/uid_map"].split()
        return {
            "kernel": self.data["kernel"],
            "root": "yes" if self.data["root"] else "",
            "init_user_namespace": "yes" if mapping == ["0", "0", "4294967295"] else "",
        }

    def run(self, argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        assert not stdin
        self.ran.append(list(argv))
        if list(argv) == ["tc", "-j", "qdisc", "show"]:
            return 0, json.dumps(self.data["tc"]), ""
        return 127, "", "%s is not installed" % argv[0]

    def _changed(self, *_arguments: object) -> NoReturn:
        raise AssertionError("a recorded host was changed")

    write_sysctl = write_file = write_link = detach = log = _changed
    remove = make_private_directory = remove_empty_directory = _changed

    def now(self) -> float:
        return 1795608000.0

    def make_open_directory(self, path: str) -> None:
        raise AssertionError("a recorded host was to have %s" % path)

    def send_datagram(self, address: str, port: int) -> None:
        raise AssertionError("a recorded host was to send to %s, %d" % (address, port))

    def resolve(self, name: str) -> list[str]:
        raise AssertionError("a recorded host was asked for the addresses of %s" % name)

    def sock_diag(self, request: bytes) -> list[bytes]:
        raise AssertionError("a recorded host was asked for its sockets by %r" % request)

    def netlink_dump(self, protocol: int, request: bytes) -> list[bytes]:
        raise AssertionError("a recorded host was asked by netlink %d for a list: %r" % (protocol, request))

    def sockets_of(self, pid: int) -> frozenset[int]:
        raise AssertionError("a recorded host was asked for the sockets of %d" % pid)

    def socket_holders(self, inodes: Collection[int]) -> dict[int, int]:
        raise AssertionError("a recorded host was asked who holds %r" % (inodes,))

    def netlink(self, protocol: int, request: bytes) -> bytes:
        raise AssertionError("a recorded host was asked by netlink %d: %r" % (protocol, request))

    def http_get(self, place: str, path: str, seconds: float) -> tuple[int, str]:
        raise AssertionError("a recorded host was asked for http://%s%s within %s s" % (place, path, seconds))

    def connect(self, address: str, port: int, seconds: float) -> tuple[str, str, int]:
        raise AssertionError("a recorded host was to connect to %s, %d within %s s" % (address, port, seconds))

    def lock(self, seconds: float, patience: float | None = None) -> contextlib.AbstractContextManager[None]:
        raise AssertionError("a recorded host was locked: %s, %s" % (seconds, patience))
