# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declaration of the role tcp_tuning as action plugins share it: its options, and the road to a desired state.

Runs on the controller alone. tune, drift, render and explain differ in what they do with the result, not in the road.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Dict, List

from ansible_collections.netfleet.tcp.plugins.module_utils._boot import with_precedence
from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import INDEX
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import (
    MANAGED,
    ROLE_DECLARATION,
    build,
    watched_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired, Finding, Observed
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import (
    FAST_OPEN_KEY,
    OVERRIDE,
    Intent,
    bare_intent,
    compose,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._resolve import (
    Resolved,
    keys_to_observe,
    modules_to_observe,
    resolve,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS, fast_open_key
from ansible_collections.netfleet.tcp.plugins.plugin_utils._arguments import (
    PREFIX,
    typed,
    unknown_names,
    window_problems,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._run_settings import SETTINGS

OWN_TEMPLATE = os.path.realpath(
    os.path.join(os.path.dirname(__file__), "../../roles/tcp_tuning/templates/sysctl.conf.j2")
)
_STRING_LIST = {"type": "list", "elements": "str", "default": []}
ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "profile": {"type": "str"},
    "workloads": _STRING_LIST,
    "congestion_control": _STRING_LIST,
    "fast_open": {"type": "raw", "default": "profile"},
    "fast_open_key": {"type": "str", "no_log": True},
    "bandwidth": {"type": "str"},
    "rtt": {"type": "str"},
    "memory_share": {"type": "float", "default": 0.05},
    "qdisc": {"type": "str", "default": "profile"},
    "qdisc_interfaces": {"type": "list", "elements": "str", "default": ["auto"]},
    "reserved_ports": _STRING_LIST,
    "overrides": {"type": "dict", "default": {}},
    "force": {"type": "bool", "default": False},
    "unsupported": {"type": "str", "choices": ["fail", "warn", "skip"], "default": "fail"},
    "boot_conflict": {"type": "str", "choices": ["override", "fail", "warn"], "default": "override"},
    "confirm": {"type": "int", "default": 120},
    "log": {"type": "str", "default": "~/.local/state/netfleet-tcp/changes.jsonl"},
    "file": {"type": "str", "default": "90-netfleet-tcp.conf"},
    "template": {"type": "str"},
}
# Seconds: a fresh connection and a visit have to fit in, on a slow host too; and a host that waits is nobody's.
_SHORTEST_WINDOW = 20
# Variables of the role that concern the run and not the host.
RUN_VARIABLES = tuple(SETTINGS)
# The variables of the playbooks that check and render, which stand beside the role's.
_PLAYBOOK_VARIABLES = {
    "tcp_drift_": ("waivers", "threshold", "directory", "formats", "compare"),
    "tcp_render_": ("directory",),
}

# (variables of the template) -> the text of the sysctl.d file
Render = Callable[[Dict[str, Any]], str]


@dataclass(frozen=True)
class Declaration:
    """What is declared for a host, before anything is known of it."""

    arguments: Mapping[str, Any]
    intent: Intent
    secrets: Mapping[str, str]

    @property
    def absent(self) -> bool:
        """Whether the declaration is to be taken away."""
        return bool(self.arguments["state"] == "absent")

    def request(self) -> Dict[str, Any]:
        """The arguments of netfleet.tcp.tcp_facts: what has to be looked at."""
        intent = self.intent
        return {
            "keys": list(keys_to_observe(intent)),
            "files": list(watched_paths(intent.file_name)),
            "modules": list(modules_to_observe(intent)),
            "interfaces": bool(intent.qdisc),
            "qdisc_kinds": [intent.qdisc] if intent.qdisc else [],
            "listeners": intent.wide_ports,
            "blame": True,
            "name": ROLE_DECLARATION,
            "secrets": dict(self.secrets),
        }

    def resolve(self, observed: Observed) -> Resolved:
        """The values for the host that was observed."""
        return Resolved() if self.absent else resolve(self.intent, observed)

    def desired(self, observed: Observed, resolved: Resolved, render: Render) -> Desired:
        """The state that the host shall have."""
        desired = build(
            file_name=self.intent.file_name,
            text=render(self._template_variables(resolved)) if resolved.choices else "",
            keys=resolved.keys,
            modules=resolved.modules,
            qdiscs=resolved.qdiscs,
            interfaces=observed.interfaces,
            congestion_control=resolved.congestion_control,
            boot_conflict=self.intent.boot_conflict,
            systemd=observed.systemd,
            name=ROLE_DECLARATION,
        )
        if self.intent.boot_conflict != OVERRIDE:
            return desired
        return with_precedence(desired, self.intent.file_name, observed)

    def _template_variables(self, resolved: Resolved) -> Dict[str, Any]:
        settings: List[Dict[str, Any]] = [
            {**choice.__dict__, "unit": INDEX[choice.key].unit, "what": INDEX[choice.key].what}
            for choice in resolved.choices
            if choice.key not in SECRET_KEYS
        ]
        return {
            "tcp_tuning_managed": MANAGED,
            "tcp_tuning_settings": settings,
            "tcp_tuning_declared": {"profile": self.intent.profile, "workloads": list(self.intent.workloads)},
        }


def validated(given: Mapping[str, Any]) -> Dict[str, Any]:
    """The arguments in their types, with defaults; InputError with every problem, named as the role's variables are."""
    arguments = typed(ARGUMENTS, given)
    problems = list(window_problems(PREFIX + "confirm", arguments["confirm"], _SHORTEST_WINDOW))
    if problems:
        raise InputError(problems)
    return arguments


def declare(arguments: Mapping[str, Any]) -> Declaration:
    """The declaration that the role's variables (without their prefix) make; InputError with all its problems."""
    absent = arguments["state"] == "absent"
    intent = bare_intent(arguments["file"], boot_conflict="warn") if absent else compose(arguments)
    key = arguments.get("fast_open_key")
    secrets = {FAST_OPEN_KEY: fast_open_key(key) or ""} if key and not absent else {}
    return Declaration(arguments, intent, secrets)


def unknown_variables(task_vars: Mapping[str, Any]) -> List[Finding]:
    """Variables of the host that look like ours and are not: most likely a typing error, unseen otherwise."""
    return unknown_names(task_vars, {PREFIX: (*ARGUMENTS, *RUN_VARIABLES), **_PLAYBOOK_VARIABLES})
