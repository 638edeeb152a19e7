# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One read-only visit to a host, compared with what is declared. Never fails a host: the report says what was found."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Set, Tuple

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, host_error, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Observed, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import HOST_FAILED, HOST_UNREACHABLE, SUBJECTS
from ansible_collections.netfleet.tcp.plugins.plugin_utils._call import check_call
from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import ARGUMENTS, declare, unknown_variables
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift import checked, drift
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import FAILED, UNREACHABLE
from ansible_collections.netfleet.tcp.plugins.plugin_utils._template import renderer
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waivers import read_waivers, waived

if TYPE_CHECKING:
    from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_links import LinksCheck

# Known only once the report weighs the findings against its threshold.
ASKED = "asked"
_TUNNEL = "tunnel"
_KUBE_PROXY, _NODES = "kube_proxy", "kubernetes_nodes"
# The role's variables that concern links; where this one is not declared, there are none.
_LINKS = "wireguard_links_"
_TOPOLOGIES = _LINKS + "topologies"
_SPECIFICATION = {
    "tcp_tuning": {"type": "dict", "required": True, "options": ARGUMENTS},
    "waivers": {"type": "raw", "default": []},
    "report": {"type": "dict", "default": {}},
}


class ActionModule(ActionBase):
    """Observe, compare, hand the findings on."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result: what the report needs of this host, below the name drift."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        asked_at = time.time()
        try:
            found = self._look(variables)
        except AnsibleConnectionFailure as error:
            found = _not_asked(UNREACHABLE, HOST_UNREACHABLE, str(error), "see that ssh reaches it")
        except (NetfleetError, AnsibleError) as error:
            found = _not_asked(FAILED, HOST_FAILED, str(error), "mend that, then run the check again")
        groups = [str(name) for name in variables.get("group_names") or []]
        answer.update(changed=False, drift={**found, "groups": groups, "asked_at": asked_at})
        return answer

    def _look(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        subjects = _subjects(task_vars)
        check_call(self._task.args.get("report") or {}, _tags(task_vars))
        self._fill_in(task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=_SPECIFICATION)
        waivers = read_waivers(arguments["waivers"], "tcp_drift_waivers")
        declaration = declare(arguments["tcp_tuning"])
        links = self._links(task_vars) if _TUNNEL in subjects and _TOPOLOGIES in task_vars else None
        request = {**declaration.request(), "routes": True}
        seen = self._execute_module(
            module_name="netfleet.tcp.tcp_facts",
            module_args=links.request(request) if links else request,
            task_vars=task_vars,
        )
        if seen.get("failed") or "ansible_facts" not in seen:
            text = "%s %s" % (seen.get("msg", "the module did not run"), seen.get("module_stderr", ""))
            return _not_asked(FAILED, HOST_FAILED, " ".join(text.split()), "mend that, then run the check again")
        observed = from_wire(Observed, seen["ansible_facts"]["netfleet_tcp"])
        observed, tunnels = links.split(observed) if links else (observed, observed)
        resolved = declaration.resolve(observed)
        template = arguments["tcp_tuning"].get("template")
        desired = declaration.desired(observed, resolved, renderer(self, template, task_vars))
        remarks = [*unknown_variables(task_vars), *resolved.findings]
        findings = drift(desired, observed, remarks, declaration.intent.file_name, subjects)
        compared = checked(desired, observed)
        if links:
            findings = (*findings, *links.findings(tunnels, seen))
            compared.update({_TUNNEL: links.count()} if links.count() else {})
        host = str(task_vars["inventory_hostname"])
        groups = [str(name) for name in task_vars.get("group_names") or []]
        if _KUBE_PROXY in subjects and _NODES in groups:
            findings = (*findings, *self._kube_proxy(task_vars))
            compared[_KUBE_PROXY] = 1
        kept = waived(
            [finding for finding in findings if finding.subject in (*subjects, "host")],
            waivers,
            host,
            groups,
            datetime.datetime.now(tz=datetime.timezone.utc).date(),
            partial=len(subjects) < len(SUBJECTS) - 1,
        )
        return {
            "status": ASKED,
            "profile": declaration.intent.profile,
            "kernel": observed.kernel,
            "subjects": list(subjects),
            "checked": {name: count for name, count in compared.items() if name in subjects},
            "findings": [to_wire(finding) for finding in kept],
        }

    def _links(self, task_vars: Dict[str, Any]) -> LinksCheck:
        """What is declared of the host's links."""
        # Most fleets have none, and do not wait until the code for them is loaded.
        from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_links import NAMES, links_check

        given = self._declared(_LINKS, NAMES, task_vars)
        host, task = str(task_vars["inventory_hostname"]), str(self._task._uuid)
        return links_check(host, given, task_vars, constants.DEFAULT_LOCAL_TMP, task)

    def _kube_proxy(self, task_vars: Dict[str, Any]) -> Tuple[Finding, ...]:
        """What of the host's kube-proxy is not as declared, or not as the API of its cluster says."""
        # Most hosts are no nodes, and do not wait until the code for them is loaded.
        from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen
        from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_kube import NAMES, kube_check, kube_findings
        from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import connect

        check = kube_check(str(task_vars["inventory_hostname"]), self._declared(_KUBE_PROXY + "_", NAMES, task_vars))
        settings = check.settings

        def look() -> NodeSeen:
            answer = self._execute_module(
                module_name="netfleet.tcp.kube_proxy_info", module_args=check.request, task_vars=task_vars
            )
            if answer.get("failed") or "node" not in answer:
                raise host_error("", str(answer.get("msg", "the module did not run")))
            return from_wire(NodeSeen, answer["node"])

        return kube_findings(
            check,
            look,
            lambda: connect(settings["kubeconfig"], settings["context"], float(settings["api_timeout"])),
            constants.DEFAULT_LOCAL_TMP,
            str(self._task._uuid),
        )

    def _declared(self, prefix: str, names: Iterable[str], task_vars: Mapping[str, Any]) -> Any:
        """The variables of another role that the host has, by their names without the prefix, filled in."""
        named = ["'%s': %s%s" % (name, prefix, name) for name in names if prefix + name in task_vars]
        return self._templar.template(trust_as_template("{{ {%s} }}" % ", ".join(named)))

    def _fill_in(self, task_vars: Dict[str, Any]) -> None:
        """Replace names of variables by their values.

        Here, and not by Ansible before: a variable of the inventory that cannot be had is a finding of its host, and
        must not end the check before there is a report.
        """
        arguments = dict(self._task.args)
        for name in ("tcp_tuning", "waivers"):
            given = arguments.get(name)
            if isinstance(given, str) and given.isidentifier():
                known = given in task_vars
                arguments[name] = self._templar.template(trust_as_template("{{ %s }}" % given)) if known else None
        self._task.args = {name: value for name, value in arguments.items() if value is not None}


def _tags(task_vars: Dict[str, Any]) -> List[str]:
    names = ("ansible_run_tags", "ansible_skip_tags")
    return [str(tag) for name in names for tag in task_vars.get(name) or []]


def _subjects(task_vars: Dict[str, Any]) -> Tuple[str, ...]:
    """The subjects that --tags and --skip-tags leave."""
    chosen: Set[str] = {str(tag) for tag in task_vars.get("ansible_run_tags") or ["all"]}
    skipped: Set[str] = {str(tag) for tag in task_vars.get("ansible_skip_tags") or []}
    known = [name for name in SUBJECTS if name != "host"]
    named = [name for name in known if name in chosen and "all" not in chosen]
    left = tuple(name for name in named or known if name not in skipped)
    if not left:
        raise input_error("--skip-tags", "nothing is left to compare", "skip fewer")
    return left


def _not_asked(status: str, rule: str, reason: str, cure: str) -> Dict[str, Any]:
    finding = Finding("host", "", "error", " ".join(reason.split()), cure=cure, rule=rule)
    return {"status": status, "profile": "", "kernel": "", "checked": {}, "findings": [to_wire(finding)]}
