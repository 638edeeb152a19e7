# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One read-only visit to a host, compared with what is declared. Never fails a host: the report says what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Tuple

from ansible import constants
from ansible.template import trust_as_template

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Observed, from_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._check_action import (
    ASKED,
    CheckAction,
    module_failed,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import ARGUMENTS, declare, unknown_variables
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift import checked, drift
from ansible_collections.netfleet.tcp.plugins.plugin_utils._host_variables import groups
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DRIFT_CHECK
from ansible_collections.netfleet.tcp.plugins.plugin_utils._template import renderer
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waivers import read_waivers

if TYPE_CHECKING:
    from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_links import LinksCheck

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


class ActionModule(CheckAction):
    """Observe, compare, hand the findings on."""

    kind = DRIFT_CHECK

    def look(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Observe and compare."""
        subjects = self.called_for(self._task.args.get("report") or {}, task_vars)
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
            return module_failed(seen)
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
        if _KUBE_PROXY in subjects and _NODES in groups(task_vars):
            findings = (*findings, *self._kube_proxy(task_vars))
            compared[_KUBE_PROXY] = 1
        return {
            "status": ASKED,
            "profile": declaration.intent.profile,
            "kernel": observed.kernel,
            "subjects": list(subjects),
            "checked": {name: count for name, count in compared.items() if name in subjects},
            "findings": self.kept(findings, subjects, waivers, task_vars),
        }

    def _links(self, task_vars: Dict[str, Any]) -> LinksCheck:
        """What is declared of the host's links."""
        # Most fleets have none, and do not wait until the code for them is loaded.
        from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_links import NAMES, links_check

        given = self.declared(_LINKS, NAMES, task_vars)
        host, task = str(task_vars["inventory_hostname"]), str(self._task._uuid)
        return links_check(host, given, task_vars, constants.DEFAULT_LOCAL_TMP, task)

    def _kube_proxy(self, task_vars: Dict[str, Any]) -> Tuple[Finding, ...]:
        """What of the host's kube-proxy is not as declared, or not as the API of its cluster says."""
        # Most hosts are no nodes, and do not wait until the code for them is loaded.
        from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen
        from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_kube import NAMES, kube_check, kube_findings
        from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_api import connect

        check = kube_check(str(task_vars["inventory_hostname"]), self.declared(_KUBE_PROXY + "_", NAMES, task_vars))
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
