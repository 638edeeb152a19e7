# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connection to the light hosts of `make scale`: nsenter into the namespaces of a process on this machine."""

from __future__ import annotations

DOCUMENTATION = r"""
name: namespace
short_description: Enter the namespaces of a process on this machine
description:
  - Runs commands in the user, mount, network, UTS and process namespaces of one process.
  - Can write down the CPU time of what it ran, which tells hosts from controller where both are one machine.
author: netfleet.tcp contributors
extends_documentation_fragment:
  - connection_pipelining
options:
  pid:
    description: First process of the host, as this machine numbers it.
    type: int
    required: true
    vars:
      - name: ansible_namespace_pid
  remote_user:
    description: User on the host; no other than root is served.
    default: root
    vars:
      - name: ansible_user
  usage_file:
    description: File to which the CPU seconds of each command are appended, a line each; none where it is empty.
    default: ""
    env:
      - name: NETFLEET_SCALE_USAGE
"""

# ruff: noqa: E402 - Ansible's documentation stands before the imports
import os
import resource
import subprocess

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

ENVIRONMENT = {"HOME": "/root", "USER": "root", "LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
NAMESPACES = ("--user", "--mount", "--net", "--uts", "--pid")


def _cpu_of_children() -> float:
    """CPU seconds of the children that this process has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Connection(ConnectionBase):
    """A host is a process number; there is nothing to open or to close."""

    transport = "namespace"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def close(self) -> None:
        """Nothing is open."""
        self._connected = False

    def _run(self, command: list[str], data: bytes | None) -> tuple[int, bytes, bytes]:
        """Exit status, standard output and standard error of a command in the host."""
        enter = ["nsenter", "--target", str(self.get_option("pid")), *NAMESPACES, "--"]
        before = _cpu_of_children()
        done = subprocess.run([*enter, *command], input=data or b"", capture_output=True, env=ENVIRONMENT, check=False)
        if done.stderr.startswith(b"nsenter:"):
            raise AnsibleConnectionFailure(done.stderr.decode(errors="replace").strip())
        path = self.get_option("usage_file")
        if path:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                # One write for a line: many workers append at once.
                os.write(handle, f"{_cpu_of_children() - before:.6f}\n".encode())
            finally:
                os.close(handle)
        return done.returncode, done.stdout, done.stderr

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command line of Ansible's in the host."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        return self._run(["/bin/sh", "-c", cmd], in_data)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Write a local file's content to a file of the host."""
        super().put_file(in_path, out_path)
        with open(in_path, "rb") as stream:  # noqa: PTH123
            status, _, error = self._run(["/usr/bin/dd", f"of={out_path}", "status=none"], stream.read())
        if status:
            raise AnsibleConnectionFailure(f"{out_path}: {error.decode(errors='replace').strip()}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Write a file of the host to a local file."""
        super().fetch_file(in_path, out_path)
        status, content, error = self._run(["/usr/bin/cat", in_path], None)
        if status:
            raise AnsibleConnectionFailure(f"{in_path}: {error.decode(errors='replace').strip()}")
        with open(out_path, "wb") as stream:  # noqa: PTH123
            stream.write(content)
