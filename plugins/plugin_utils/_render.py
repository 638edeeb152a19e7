# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host would get, with no host asked: the files of its declaration, and what is left for the host to decide.

Pure; runs on the controller alone. The result depends on the inventory and this collection only, so that two renderings
of the same inventory are equal to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

import yaml

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import INDEX
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Desired,
    Interface,
    KeyState,
    ModuleState,
    Observed,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import AUTO, Intent
from ansible_collections.netfleet.tcp.plugins.module_utils._resolve import (
    Resolved,
    keys_to_observe,
    modules_to_observe,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._sizing import format_bytes
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import SYSTEMD

SUMMARY = "summary.yml"
# In the summary: the names of the other files of the rendering.
FILES = "files"
# The first two fields of a buffer are the kernel's own (tcp.rst: of one that nobody has tuned). Its maximum depends on
# memory and version; a small one lets the declared one stand.
_KERNEL_DEFAULTS = {
    "net.ipv4.tcp_rmem": "4096 131072 131072",
    "net.ipv4.tcp_wmem": "4096 16384 16384",
}


@dataclass(frozen=True)
class Rendered:
    """A file of a rendering, by its path below the host's folder. target: of a symbolic link, which has no text."""

    path: str
    text: str = ""
    target: str = ""


class _Indented(yaml.SafeDumper):
    """Indents lists below their key, as yamllint's default has it: a rendering may stand in a linted repository."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def assumed(intent: Intent) -> Observed:
    """A host that has and can do everything that the declaration mentions: kernel defaults, memory without bounds."""
    named = [name for name in intent.qdisc_interfaces if name != AUTO]
    return Observed(
        kernel="",
        memory=0,
        root=True,
        systemd=True,
        reader=SYSTEMD,
        child_netns=False,
        keys={name: KeyState(name, _KERNEL_DEFAULTS.get(name)) for name in keys_to_observe(intent)},
        files={},
        modules={name: ModuleState(name, loadable=True) for name in modules_to_observe(intent)},
        interfaces=tuple(Interface(name, up=True, physical=True, mtu=1500, queues=1, qdisc="") for name in named),
        qdisc_kinds={intent.qdisc: True} if intent.qdisc else {},
    )


def rendering(intent: Intent, resolved: Resolved, desired: Desired, variables: Tuple[str, ...]) -> Tuple[Rendered, ...]:
    """The files of a host's folder, sorted. variables: warnings about the inventory's variables."""
    found = [Rendered(entry.path.lstrip("/"), entry.text, entry.target) for entry in desired.files]
    files = sorted(found, key=lambda entry: entry.path)
    summary = _summary(intent, resolved, variables, [entry.path for entry in files])
    return (Rendered(SUMMARY, summary), *files)


def _summary(intent: Intent, resolved: Resolved, variables: Tuple[str, ...], paths: List[str]) -> str:
    said = [str(finding) for finding in resolved.findings if finding.severity != "note"]
    data: Dict[str, Any] = {
        "profile": intent.profile or None,
        "workloads": list(intent.workloads),
        "congestion_control": list(intent.congestion_control),
        "qdisc": intent.qdisc or None,
        "qdisc_interfaces": list(intent.qdisc_interfaces) if intent.qdisc else [],
        "decided_on_the_host": _left_to_the_host(intent, resolved),
        "warnings": [*said, *variables],
        FILES: paths,
    }
    text: str = yaml.dump(data, Dumper=_Indented, sort_keys=False, width=110, allow_unicode=True)
    return "---\n%s\n%s" % (MANAGED.split(":", maxsplit=1)[0] + " (rendered; no host was asked)", text)


def _left_to_the_host(intent: Intent, resolved: Resolved) -> List[str]:
    """What depends on the host, in words. What is rendered assumes a host that sets no bound."""
    said: List[str] = []
    if len(intent.congestion_control) > 1:
        said.append("congestion control: the first of %s that it has" % ", ".join(intent.congestion_control))
    if intent.profile:
        said.append(
            "buffers: at most %g %% of its memory each; the kernel's own minimum and default"
            % (intent.memory_share * 100)
        )
    if not intent.force and any(INDEX[choice.key].raise_only for choice in resolved.choices):
        said.append("values that its kernel has higher by itself stay higher")
    if intent.wide_ports:
        said.append("ports of its listeners in the wider port range are reserved")
    if intent.qdisc and AUTO in intent.qdisc_interfaces:
        said.append("qdisc %s: on its interfaces that are up and backed by a device" % intent.qdisc)
    return said


def describe_size(files: Tuple[Rendered, ...]) -> str:
    """How much a rendering is, in words."""
    return "%d files, %s" % (len(files), format_bytes(sum(len(entry.text) for entry in files)))
