# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What action plugins share that check a host: a visit that never fails it, and hands on what it found.

Runs on the controller alone. What is said of all hosts in the end is _report_action's.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Dict, List, Optional, Set, Tuple

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import HOST_FAILED, HOST_UNREACHABLE
from ansible_collections.netfleet.tcp.plugins.plugin_utils._call import check_call
from ansible_collections.netfleet.tcp.plugins.plugin_utils._host_variables import declared_by, groups
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import (
    FAILED,
    UNREACHABLE,
    Kind,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waivers import Tolerance, waived

# Known only once the report weighs the findings against its threshold.
ASKED = "asked"


class CheckAction(ActionBase):
    """A visit: what is found becomes findings, and so does that the host could not be asked."""

    _supports_check_mode = True
    _requires_connection = True
    kind: Kind

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result: what the report needs of this host, below the name of the kind."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        asked_at = time.time()
        try:
            found = self.look(variables)
        except AnsibleConnectionFailure as error:
            found = not_asked(UNREACHABLE, HOST_UNREACHABLE, str(error), "see that ssh reaches it")
        except (NetfleetError, AnsibleError) as error:
            found = not_asked(FAILED, HOST_FAILED, str(error), "mend that, then run the check again")
        answer.update({"changed": False, self.kind.name: {**found, "groups": groups(variables), "asked_at": asked_at}})
        return answer

    def look(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Ask the host, and say what was found."""
        raise NotImplementedError

    def called_for(self, report: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Tuple[str, ...]:
        """The subjects that --tags and --skip-tags leave; InputError where the check was not called as it can be."""
        check_call(report, _tags(task_vars), self.kind)
        return asked_subjects(task_vars, self.kind)

    def declared(self, prefix: str, names: Iterable[str], task_vars: Mapping[str, Any]) -> Any:
        """The variables that the host has of those with a prefix, by their names without it, filled in."""
        return declared_by(self._templar, task_vars)(prefix, names)

    def kept(
        self,
        findings: Iterable[Finding],
        subjects: Sequence[str],
        tolerances: Iterable[Tolerance],
        task_vars: Mapping[str, Any],
    ) -> List[Dict[str, Any]]:
        """The findings of these subjects for the report, those that are tolerated marked so."""
        found = waived(
            [finding for finding in findings if finding.subject in (*subjects, "host")],
            tolerances,
            str(task_vars["inventory_hostname"]),
            groups(task_vars),
            datetime.datetime.now(tz=datetime.timezone.utc).date(),
            partial=len(subjects) < len(self.kind.subjects) - 1,
        )
        return [to_wire(finding) for finding in found]


def not_asked(status: str, rule: str, reason: str, cure: str) -> Dict[str, Any]:
    """What a visit has to say of a host of which nothing is known."""
    finding = Finding("host", "", "error", " ".join(reason.split()), cure=cure, rule=rule)
    return {"status": status, "profile": "", "kernel": "", "checked": {}, "findings": [to_wire(finding)]}


def module_failed(answer: Mapping[str, Any]) -> Dict[str, Any]:
    """The same where the module that was to look gave no answer."""
    text = "%s %s" % (answer.get("msg", "the module did not run"), answer.get("module_stderr", ""))
    return not_asked(FAILED, HOST_FAILED, text, "mend that, then run the check again")


def _tags(task_vars: Mapping[str, Any]) -> List[str]:
    names = ("ansible_run_tags", "ansible_skip_tags")
    return [str(tag) for name in names for tag in task_vars.get(name) or []]


def asked_subjects(task_vars: Mapping[str, Any], kind: Kind) -> Tuple[str, ...]:
    """The subjects of a kind that --tags and --skip-tags leave."""
    chosen: Set[str] = {str(tag) for tag in task_vars.get("ansible_run_tags") or ["all"]}
    skipped: Set[str] = {str(tag) for tag in task_vars.get("ansible_skip_tags") or []}
    known = [name for name in kind.subjects if name != "host"]
    named = [name for name in known if name in chosen and "all" not in chosen]
    left = tuple(name for name in named or known if name not in skipped)
    if not left:
        raise input_error("--skip-tags", "nothing is left to compare", "skip fewer")
    return left
