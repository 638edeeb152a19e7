# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads what both ends have captured and said, says what is wrong, and puts all of it into one archive."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Dict, List, Optional

from ansible import constants

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, InputError, NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import HEALTH_LIMIT
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _tshark
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_model import Seen
from ansible_collections.netfleet.tcp.plugins.plugin_utils._capture_streams import (
    busiest_interface,
    duplicates,
    once,
    seen,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_case import Case, Witness
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_findings import findings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_folder import (
    ARCHIVES,
    COOKED,
    FACTS,
    SUMMARY,
    archive_directory,
    archive_name,
    capture_path,
    kept,
    link_type,
    raw_texts,
    safe_names,
    write_archive,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._diagnose_text import facts, summary, table
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import Report
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_action import ReportAction, report_options
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_kinds import DIAGNOSE_CHECK

_SPECIFICATION = {
    **report_options(DIAGNOSE_CHECK, "__tcp_diagnose"),
    "archive": {"type": "path", "default": ARCHIVES},
}


class ActionModule(ReportAction):
    """The report of a diagnosis, and its archive."""

    kind = DIAGNOSE_CHECK
    specification = _SPECIFICATION
    # Of the one report that an action makes: what is printed beside it.
    _table: Sequence[str] = ()
    _archived = ""
    _refused: Optional[NetfleetError] = None

    def collected(self, answers: Mapping[str, Optional[Mapping[str, Any]]], arguments: Mapping[str, Any]) -> Report:
        """The report, with what the captures show; it is printed with a line for each client and service."""
        said = {name: answer[self.kind.name] for name, answer in answers.items() if answer and self.kind.name in answer}
        looked = {name: each for name, each in said.items() if each.get("folder")}
        if not looked:
            return super().collected(answers, arguments)
        settings = next(iter(looked.values()))["settings"]
        home = tempfile.mkdtemp(prefix="tshark-", dir=constants.DEFAULT_LOCAL_TMP)
        try:
            witnesses, limits = self._witnesses(looked, settings["port"], home)
        finally:
            shutil.rmtree(home, ignore_errors=True)
        names = {address: name for each in looked.values() for name, address in each["addresses"].items()}
        case = Case(witnesses, names)
        found = [*findings(case, settings["port"]), *limits, *_of_all(case)]
        report = super().collected(_with(answers, found, self.kind.name), arguments)
        self._table = table(case)
        asked = {name: value for name, value in settings.items() if value not in ("", 0, False)}
        folders = {name: each["folder"] for name, each in looked.items()}
        try:
            self._archived = self._archive(case, report, asked, arguments["archive"], folders)
        except NetfleetError as error:
            # To be told once the report is printed.
            self._refused = error
        return report

    def _witnesses(
        self, looked: Mapping[str, Mapping[str, Any]], port: int, home: str
    ) -> tuple[List[Witness], List[Finding]]:
        witnesses, limits = [], []
        for name, each in looked.items():
            view = kept(each["folder"])
            capture: Optional[Seen] = None
            path = capture_path(each["folder"])
            if path:
                try:
                    capture = _read(path, home, port)
                except HostError as error:
                    # One end may do; and all that hosts say without a capture is there.
                    limits.append(_limit(name, "capture", "warning", str(error)))
            if capture is not None and capture.duplicates:
                text = "packets were seen on several interfaces; only the busiest counts (tcp_diagnose_interface)"
                if capture.blurred:
                    text = "packets were seen on several interfaces that this capture does not tell apart, so what was "
                    text += "sent again is not judged; name an interface (tcp_diagnose_interface)"
                limits.append(_limit(name, "interface", "note", text))
            if capture is not None and not capture.streams:
                text = "nothing of TCP was seen in %.3g s: is it the right peer, port, address?" % view.seconds
                limits.append(_limit(name, "capture", "note", text))
            witnesses.append(Witness(name, view, capture))
        return witnesses, limits

    def _archive(
        self, case: Case, report: Report, asked: Mapping[str, Any], directory: str, folders: Mapping[str, str]
    ) -> str:
        texts = {
            SUMMARY: summary(case, report, asked),
            FACTS: json.dumps(facts(case, report, asked), indent=1) + "\n",
        }
        called = safe_names(folders)
        for host, witness in case.witnesses.items():
            texts.update({"%s/raw/%s" % (called[host], name): text for name, text in raw_texts(witness.view).items()})
        by_name = {called[host]: folder for host, folder in folders.items()}
        name = archive_name(",".join(folders), report.started)
        try:
            return write_archive(archive_directory(directory), name, texts, by_name)
        except InputError as error:
            # What was captured is not captured again.
            self._display.warning("the archive is put elsewhere: %s" % error)
            return write_archive(_elsewhere(error), name, texts, by_name)
        finally:
            for folder in folders.values():
                shutil.rmtree(folder, ignore_errors=True)

    def _say(self, report: Report) -> None:
        super()._say(report)
        for line in ["", *self._table] if self._table else []:
            self._display.display(line)
        if self._archived:
            self._display.display("Archive: %s" % self._archived)

    def _report(self, arguments: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        answer = {**super()._report(arguments, task_vars), "archive": self._archived}
        if self._refused:
            raise self._refused
        return answer


def _elsewhere(refused: InputError) -> str:
    """A folder of its own, for its owner alone, in that for temporary files; else what was refused before."""
    try:
        return tempfile.mkdtemp(prefix="diagnose-")
    except OSError:
        raise refused from None


def _read(path: str, home: str, port: int) -> Seen:
    packets = _tshark.read(path, home)
    if link_type(path) == COOKED:
        single, again = once(packets)
        return replace(seen(single, port), duplicates=again, blurred=bool(again))
    twice = len(duplicates(packets))
    if twice:
        packets = _tshark.read(path, home, busiest_interface(packets))
    return replace(seen(packets, port), duplicates=twice)


def _limit(host: str, key: str, severity: str, reason: str) -> Finding:
    return Finding("host", key, severity, reason, rule=HEALTH_LIMIT, host=host)


def _of_all(case: Case) -> List[Finding]:
    """What is to be said of the captures together."""
    first = next(iter(case.witnesses))
    captures = [witness.seen for witness in case.witnesses.values() if witness.seen]
    if captures and not case.talks:
        # Whoever waits for traffic that does not come is told so by the exit status too.
        return [_limit(first, "capture", "warning", "nobody has seen a packet of TCP")]
    if not case.translated:
        return []
    text = "addresses are translated between these hosts: what one sent and the other received cannot be compared"
    return [_limit(first, "translation", "note", text)]


def _with(
    answers: Mapping[str, Optional[Mapping[str, Any]]], found: List[Finding], name: str
) -> Dict[str, Optional[Dict[str, Any]]]:
    """The answers with these findings among those of their hosts, of subjects that were asked for."""
    result: Dict[str, Optional[Dict[str, Any]]] = {}
    for host, answer in answers.items():
        result[host] = dict(answer) if answer else None
        said = (answer or {}).get(name)
        if said:
            own = [each for each in found if each.host == host and each.subject in (*said.get("subjects", ()), "host")]
            result[host] = {**dict(answer or {}), name: {**said, "findings": [*said["findings"], *map(to_wire, own)]}}
    return result
