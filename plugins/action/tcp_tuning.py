# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policy on the controller: compose, observe, resolve, render, plan; the host is visited again only to change it."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Tuple

from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import INDEX, suggestion
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import (
    MANAGED,
    ROLE_DECLARATION,
    build,
    watched_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Desired,
    Finding,
    Observed,
    from_wire,
    to_wire,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import make_plan, refusal
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import (
    FAST_OPEN_KEY,
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
from ansible_collections.netfleet.tcp.plugins.module_utils._result import failure, result
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS, fast_open_key

_OWN_TEMPLATE = os.path.join(os.path.dirname(__file__), "../../roles/tcp_tuning/templates/sysctl.conf.j2")
_PREFIX = "tcp_tuning_"
_STRING_LIST = {"type": "list", "elements": "str", "default": []}
_ARGUMENTS: Dict[str, Dict[str, Any]] = {
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
    "boot_conflict": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
    "file": {"type": "str", "default": "90-netfleet-tcp.conf"},
    "template": {"type": "str"},
}


class ActionModule(ActionBase):
    """One visit to look, and a second one only where something differs."""

    _supports_check_mode = True
    _supports_diff = True
    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result, in the shape that _result gives it."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        try:
            answer.update(self._converge(arguments, task_vars or {}))
        except NetfleetError as error:
            answer.update(failed=True, **failure(error))
        if not self._task.diff:
            answer.pop("diff", None)
        return answer

    def _converge(self, arguments: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        absent = arguments["state"] == "absent"
        intent = bare_intent(arguments["file"], boot_conflict="warn") if absent else compose(arguments)
        key = arguments.get("fast_open_key")
        secrets = {FAST_OPEN_KEY: fast_open_key(key) or ""} if key and not absent else {}
        answer = self._observe(intent, secrets, task_vars)
        if answer.get("failed") or "ansible_facts" not in answer:
            return answer
        observed = from_wire(Observed, answer["ansible_facts"]["netfleet_tcp"])
        if not observed.root:
            # What an earlier run recorded is readable by root alone: without it, nothing below would be true.
            raise host_error("", "this user is not root on the host", "use become")
        resolved = Resolved() if absent else resolve(intent, observed)
        desired = self._desired(intent, observed, resolved, arguments, task_vars)
        plan = make_plan(desired, observed)
        own_findings = [*_unknown_variables(task_vars), *resolved.findings]
        findings = [*own_findings, *plan.findings]
        refused = refusal(findings)
        if plan.changes and not refused and not self._task.check_mode:
            answer = self._execute_module(
                module_name="netfleet.tcp.tcp_apply",
                module_args={"desired": to_wire(desired), "secrets": secrets},
                task_vars=task_vars,
            )
            answer.pop("invocation", None)
        else:
            answer = result(desired, observed, plan)
        if refused:
            # What runs has not changed: before and after would bury the reason.
            answer = {key: value for key, value in answer.items() if key not in ("before", "after")}
            answer.update(failed=True, changed=False, **failure(refused))
        answer["findings"] = [to_wire(finding) for finding in findings]
        # Those of the plan are said by result, or by the module.
        said = [str(finding) for finding in own_findings if finding.severity == "warning"]
        answer["warnings"] = said + list(answer.get("warnings") or [])
        return answer

    def _observe(self, intent: Intent, secrets: Dict[str, str], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        answer: Dict[str, Any] = self._execute_module(
            module_name="netfleet.tcp.tcp_facts",
            module_args={
                "keys": list(keys_to_observe(intent)),
                "files": list(watched_paths(intent.file_name)),
                "modules": list(modules_to_observe(intent)),
                "interfaces": bool(intent.qdisc),
                "qdisc_kinds": [intent.qdisc] if intent.qdisc else [],
                "listeners": intent.wide_ports,
                "name": ROLE_DECLARATION,
                "secrets": secrets,
            },
            task_vars=task_vars,
        )
        answer.pop("invocation", None)
        return answer

    def _desired(
        self,
        intent: Intent,
        observed: Observed,
        resolved: Resolved,
        arguments: Dict[str, Any],
        task_vars: Dict[str, Any],
    ) -> Desired:
        return build(
            file_name=intent.file_name,
            text=self._render(intent, resolved, arguments, task_vars) if resolved.choices else "",
            keys=resolved.keys,
            modules=resolved.modules,
            qdiscs=resolved.qdiscs,
            interfaces=observed.interfaces,
            congestion_control=resolved.congestion_control,
            boot_conflict=intent.boot_conflict,
            systemd=observed.systemd,
            name=ROLE_DECLARATION,
        )

    def _render(self, intent: Intent, resolved: Resolved, arguments: Dict[str, Any], task_vars: Dict[str, Any]) -> str:
        named = arguments.get("template")
        path = self._find_needle("templates", named) if named else os.path.realpath(_OWN_TEMPLATE)
        settings: List[Dict[str, Any]] = [
            {**choice.__dict__, "unit": INDEX[choice.key].unit, "what": INDEX[choice.key].what}
            for choice in resolved.choices
            if choice.key not in SECRET_KEYS
        ]
        template_vars = {
            "tcp_tuning_managed": MANAGED,
            "tcp_tuning_settings": settings,
            "tcp_tuning_declared": {"profile": intent.profile, "workloads": list(intent.workloads)},
        }
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        rendered: Tuple[Any, ...] = tuple(lookup.run([path], variables=task_vars, template_vars=template_vars))
        return str(rendered[0])


def _unknown_variables(task_vars: Dict[str, Any]) -> List[Finding]:
    """Variables of the host that look like the role's and are not: most likely a typing error, unseen otherwise."""
    known = [_PREFIX + name for name in _ARGUMENTS]
    return [
        Finding("variable", name, "warning", "there is no such variable", cure=suggestion(name, known))
        for name in sorted(task_vars)
        if name.startswith(_PREFIX) and name not in known
    ]
