# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OCI createRuntime hook of a lab container: gives it its network card and its cgroup before systemd starts.

Podman runs a copy of this file, alone and with an empty environment, so it uses the standard library only. The card is
a veth pair to the lab's bridge: podman's own networks would want a firewall tool and change the machine's rules.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TOOLS = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
UNIFIED = Path("/sys/fs/cgroup/unified")
DELEGATED = (".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control")
ANNOTATION = "netfleet.lab.network"


def attach(pid: int, card: dict[str, str]) -> None:
    """Give the container's network namespace an eth0 on the bridge, with address and default route."""
    veth = card["veth"]
    # A container that was killed may not have lost its old card yet.
    subprocess.run(["ip", "link", "delete", "dev", veth], env=TOOLS, capture_output=True, check=False)
    peer = ["peer", "name", "eth0", "address", card["mac"], "netns", str(pid)]
    _run(["ip", "link", "add", "name", veth, "type", "veth", *peer])
    _run(["ip", "link", "set", "dev", veth, "master", card["bridge"], "up"])
    commands = [
        "link set dev lo up",
        f"address add {card['address']} dev eth0",
        "link set dev eth0 up",
        f"route add default via {card['gateway']}",
    ]
    _run(["nsenter", "-t", str(pid), "-n", "ip", "-batch", "-"], "\n".join(commands) + "\n")


def delegate(pid: int, container: str) -> None:
    """On a machine with hybrid cgroups, let the container's root manage the container's own part of the v2 tree."""
    if not UNIFIED.is_dir():
        return
    owner = _mapped_root(Path(f"/proc/{pid}/uid_map").read_text(encoding="utf-8"))
    path = _unified_path(Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"))
    if container not in path:
        raise RuntimeError(f"{path} is not the cgroup of container {container}: nothing was changed")
    for name in DELEGATED:
        os.chown(UNIFIED / path.lstrip("/") / name, owner, owner)


def _mapped_root(text: str) -> int:
    """The machine's user id behind a container's root, from its uid_map."""
    return next(int(line.split()[1]) for line in text.splitlines() if line.split()[0] == "0")


def _unified_path(text: str) -> str:
    """The path in the v2 tree, from /proc/PID/cgroup."""
    return next(line[3:] for line in text.splitlines() if line.startswith("0::"))


def _run(argv: list[str], stdin: str = "") -> None:
    done = subprocess.run(argv, env=TOOLS, input=stdin, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")


def main() -> None:
    """Read the container's state from standard input, as OCI lays down."""
    state = json.load(sys.stdin)
    delegate(state["pid"], state["id"])
    words = state["annotations"][ANNOTATION].split()
    attach(state["pid"], dict(word.split("=", 1) for word in words))


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, KeyError, StopIteration, ValueError) as error:
        sys.exit(f"netfleet lab hook: {error!r}")
