# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in memory with a declaration: tuned and checked by the code that playbooks use, without Ansible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import INDEX
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import ROLE_DECLARATION
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired, Finding, Observed, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, load_vault, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._resolve import Resolved
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply
from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import ARGUMENTS, Declaration, declare
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift import drift
from tests.unit.plugins.fake_system import FakeSystem

OWN = "/etc/sysctl.d/90-netfleet-tcp.conf"
EXTRA = "/etc/sysctl.d/zz-90-netfleet-tcp.conf"
MODULES = "/etc/modules-load.d/90-netfleet-tcp.conf"
MTU_PROBING = "net.ipv4.tcp_mtu_probing"


def declared(**given: Any) -> Declaration:
    """A declaration as the role would hand it over; profile cloud unless said otherwise."""
    defaults = {name: option.get("default") for name, option in ARGUMENTS.items()}
    return declare({**defaults, "profile": "cloud", **given})


def rendered(variables: Mapping[str, Any]) -> str:
    """The text of a sysctl.d file, in place of the role's template."""
    lines = ["%s = %s" % (entry["key"], entry["value"]) for entry in variables["tcp_tuning_settings"]]
    return "\n".join([variables["tcp_tuning_managed"], *lines]) + "\n"


class AHost:
    """A Debian host with one NIC that has every key of the catalogue."""

    def __init__(self, **given: Any) -> None:
        self.system = FakeSystem()
        for name, key in INDEX.items():
            self.system.sysctls.setdefault(name, "\t".join(["1"] * key.fields) if key.kind == "int" else "")
        self.system.add_interface("eth0")
        self.given = given

    def observed(self, declaration: Declaration) -> Observed:
        """What one visit of tcp_facts returns, through the wire."""
        wanted = declaration.request()
        request = Request(
            keys=tuple(wanted["keys"]),
            files=tuple(wanted["files"]),
            modules=tuple(wanted["modules"]),
            qdiscs=wanted["interfaces"],
            qdisc_kinds=tuple(wanted["qdisc_kinds"]),
            listeners=wanted["listeners"],
            blame=True,
            routes=True,
        )
        baseline, vault = load_vault(self.system, ROLE_DECLARATION, wanted["secrets"])
        return from_wire(Observed, to_wire(observe(self.system, request, baseline, vault)))

    def state(self) -> tuple[Declaration, Observed, Resolved, Desired]:
        """The road up to the desired state."""
        declaration = declared(**self.given)
        observed = self.observed(declaration)
        resolved = declaration.resolve(observed)
        return declaration, observed, resolved, declaration.desired(observed, resolved, rendered)

    def tune(self) -> AHost:
        """What tune.yml does."""
        declaration, _observed, _resolved, desired = self.state()
        apply(self.system, desired, dict(declaration.secrets))
        return self

    def drift(self) -> tuple[Finding, ...]:
        """What drift.yml finds."""
        declaration, observed, resolved, desired = self.state()
        return drift(desired, observed, resolved.findings, declaration.intent.file_name)

    def counted(self) -> tuple[Finding, ...]:
        """The findings of warning and above."""
        return tuple(finding for finding in self.drift() if finding.severity != "note")

    def only(self) -> Finding:
        """The one finding that counts."""
        (finding,) = self.counted()
        return finding

    def edit(self, path: str, old: str, new: str) -> None:
        """Somebody edits a file."""
        state = self.system.files[path]
        assert old in state.text
        self.system.put(path, state.text.replace(old, new), state.mode)
