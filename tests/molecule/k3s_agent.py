#!/usr/bin/python3
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands on a host of the lab as `k3s`, and is a STAND-IN for it: of k3s it has kube-proxy alone.

    k3s --version
    k3s agent

As k3s does, it reads the arguments of kube-proxy from its configuration files, those of config.yaml.d after the first
and by their names, puts its own before them, and becomes kube-proxy in a process of another name. It reads no more YAML
than lists with an item in each line.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from pathlib import Path

BASE = Path("/etc/rancher/k3s/config.yaml")
# kube-proxy, under a name that no process of k3s is known by.
PROGRAM = "/usr/local/lib/netfleet-lab/k3s-agent"
OWN = (
    "--cluster-cidr=10.244.0.0/16",
    "--conntrack-max-per-core=0",
    "--healthz-bind-address=127.0.0.1",
    "--kubeconfig=/etc/kube-proxy/kubeconfig",
    "--proxy-mode=iptables",
)
_KEY = re.compile(r"""^["']?([\w-]+)(\+?)["']?:\s*(.*)$""")
_ITEM = re.compile(r"^\s*-\s+(.*)$")


def arguments(texts: list[str]) -> list[str]:
    """Those of kube-proxy, from files in the order in which they are read."""
    found: list[str] = []
    for text in texts:
        key, plus = "", ""
        for line in text.splitlines():
            begins, item = _KEY.match(line), _ITEM.match(line)
            if begins:
                key, plus, value = begins.groups()
                if key == "kube-proxy-arg" and not plus:
                    found = []
                if key == "kube-proxy-arg" and value:
                    found.append(plain(value))
            elif item and key == "kube-proxy-arg":
                found.append(plain(item.group(1)))
    return ["--" + each.lstrip("-") for each in found]


def plain(text: str) -> str:
    text = text.strip()
    return str(json.loads(text)) if text.startswith('"') else text.strip("'")


def main(words: list[str]) -> None:
    if words == ["--version"]:
        version = os.popen(f"{PROGRAM} --version").read().split()[-1]
        print(f"k3s version {version}+k3s1 (stand-in)\ngo version go1.26")
        return
    paths = [BASE, *sorted(Path(f"{BASE}.d").glob("*.y*ml"))]
    own = [*OWN, f"--hostname-override={socket.gethostname()}"]
    argv = [PROGRAM, *own, *arguments([path.read_text(encoding="utf-8") for path in paths if path.exists()])]
    os.execv(PROGRAM, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
