# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A capture by tcpdump that is bounded, has no payload, and leaves no file on the host. I/O, apart from _system.

tcpdump writes into a pipe; what comes out of it is cut, compressed and kept in memory. So there is nothing to give a
mode to, and nothing to remove if this process is killed: then tcpdump is ended by the program between the two.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import signal
import subprocess
import threading
import time
import zlib
from typing import IO, List, Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose_model import Capture
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._pcap import Cutter

_PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_PR_SET_PDEATHSIG = 1
# Bytes of each packet that the kernel hands over: the longest headers (with a tag, options and what ICMP quotes).
_SNAPSHOT = 192
_LARGEST_SNAPSHOT = 65535
# KiB in the kernel, for bursts.
_BUFFER = 4096
# Seconds: to begin, for a host that is busy (what cannot begin ends at once); beside its time, until it is killed.
_BEGIN, _PATIENCE = 20.0, 5
_GZIP = 31  # zlib's word for the format of gzip
NOT_INSTALLED = "tcpdump is not installed here (package tcpdump)"
NOT_PERMITTED = "this user may not capture: only root may (become)"


def arguments(interface: str, expression: str, seconds: float, payload: int) -> List[str]:
    """The command line of a capture. The expression is one word of it; no shell sees it."""
    limit = str(int(_BEGIN + seconds) + _PATIENCE)
    snapshot = min(_LARGEST_SNAPSHOT, _SNAPSHOT + payload)
    # In its own time it ends by itself, whatever becomes of this process.
    return [
        *("timeout", "-k", "2", limit, "tcpdump", "-i", interface, "-n", "-p", "-U", "-s", str(snapshot)),
        *("-B", str(_BUFFER), "-w", "-", "--", expression),
    ]


class TcpdumpCapture:
    """A capture that runs. Begin it, do what is to be seen, then take what it has."""

    def __init__(self, interface: str, expression: str, seconds: float, most: int, payload: int) -> None:
        self._argv = arguments(interface, expression, seconds, payload)
        self._seconds = seconds
        self._most = most
        self._cutter = Cutter(payload)
        self._pack = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
        self._data = bytearray()
        self._size = self._parts = 0
        self._full = False
        self._problem = ""
        self._said = bytearray()
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._threads: List[threading.Thread] = []
        self._listening = threading.Event()

    def begin(self) -> str:
        """Start it, and wait until it sees packets; why it does not, in words."""
        try:
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"PATH": _PATH, "LC_ALL": "C"},
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - no other thread runs yet
            )
        except OSError as error:
            return "timeout of coreutils: %s" % (error.strerror or error)
        streams = ((self._read_packets, self._process.stdout), (self._read_words, self._process.stderr))
        for work, stream in streams:
            thread = threading.Thread(target=work, args=(stream,), daemon=True)
            thread.start()
            self._threads.append(thread)
        until = time.monotonic() + _BEGIN
        while not self._listening.wait(0.05):
            if self._process.poll() is not None or time.monotonic() > until:
                return self._why()
        return ""

    def end(self) -> Capture:
        """Stop it, and say what it has seen."""
        process = self._process
        if process is None:
            return Capture()
        if process.poll() is None:
            # The program between passes it on; tcpdump then says what was dropped.
            process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
        for thread in self._threads:
            thread.join(_PATIENCE)
        self._data += self._pack.flush()
        said = self._said.decode("utf-8", "replace")
        return Capture(
            packets=max(0, self._parts - 1),
            size=self._size,
            full=self._full,
            problem=self._problem,
            data=bytes(self._data),
            received=_count(r"(\d+) packets? received by filter", said),
            dropped=_count(r"(\d+) packets? dropped by kernel", said),
            dropped_interface=_count(r"(\d+) packets? dropped by interface", said),
        )

    def _read_packets(self, stream: "IO[bytes]") -> None:
        descriptor = stream.fileno()
        while True:
            with contextlib.suppress(OSError):
                select.select([descriptor], [], [])
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                return
            if self._full or self._problem:
                continue
            try:
                for part in self._cutter.feed(piece):
                    self._keep(part)
            except HostError as error:
                self._problem = str(error)
                self._stop()

    def _keep(self, part: bytes) -> None:
        if self._full:
            return
        if self._size + len(part) > self._most:
            self._full = True
            self._stop()
            return
        # The first is the file's header.
        self._parts += 1
        self._size += len(part)
        self._data += self._pack.compress(part)

    def _read_words(self, stream: "IO[bytes]") -> None:
        for line in stream:
            self._said += line
            if b"listening on" in line:
                self._listening.set()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def _why(self) -> str:
        if self._process is None:
            return "it did not start"
        if self._process.poll() is None:
            self._process.terminate()
            return "it did not begin within %d s" % _BEGIN
        for thread in self._threads:
            thread.join(1.0)
        return problem_of(self._process.returncode, self._said.decode("utf-8", "replace"))


def problem_of(status: int, said: str) -> str:
    """Why a capture did not begin, in words: from what timeout and tcpdump say."""
    if status == 127 or "failed to run command" in said:
        return NOT_INSTALLED
    if "permission" in said.lower() or "not permitted" in said.lower():
        return NOT_PERMITTED
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    # What it says in parentheses is the same once more.
    lines = [line for line in lines if line.startswith("tcpdump: ")] or lines
    return lines[-1] if lines else "it ended with status %d" % status


def _count(pattern: str, said: str) -> int:
    match = re.search(pattern, said)
    return int(match.group(1)) if match else 0


def _end_with_parent() -> None:
    """In the child: to be ended when this process is, however that comes about."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
