# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health gate of a wave: waits for traffic, then decides whether its hosts keep their change. Runs once a wave."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Dict, List, Optional

from ansible import context
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.module_utils._counters import Counters
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.module_utils._model import from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._gate import (
    FINE,
    TOO_LITTLE,
    WORSE,
    Readings,
    Verdict,
    judge,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._gate_text import FINE_TEXT, not_read, share_lost, table
from ansible_collections.netfleet.tcp.plugins.plugin_utils._run_settings import STOP, WAIT
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waves import (
    ENDED,
    LOOK,
    MADE,
    OTHERS,
    RESERVE,
    SCHEDULE,
    compared,
    read_before,
)

# Hosts are read one after the other: so many of a wave, spread as it is, stand for it, and so many for the others.
_MOST_READ = 10
_MOST_OTHERS = 3
# Seconds that reading them takes, at the least.
_A_LOOK = 5.0
# Seconds that a host takes to be confirmed.
_TO_CONFIRM = 4.0
# Seconds between two lines that say that the run still waits.
_PROGRESS = 10.0
_COLOURS = {FINE: "green", WORSE: "red", TOO_LITTLE: "yellow"}


class ActionModule(ActionBase):
    """before the change, wait after it, judge; after all waves."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """The task's result; that of judge says in not_kept why the change goes, if it does."""
        answer: Dict[str, Any] = super().run(tmp, task_vars)
        steps = {"before": self._before, "wait": self._wait, "judge": self._judge, "after": self._after}
        try:
            step = self._task.args.get("step")
            if step not in steps:
                raise input_error("step", "%r is none" % (step,), "one of: %s" % ", ".join(steps))
            answer.update(changed=False, **steps[step](task_vars or {}))
        except NetfleetError as error:
            answer.update(failed=True, **failure(error))
        except Exception as error:
            if step in ("before", "after"):
                raise
            broken = "the health gate came to no verdict: %r" % error
            none = {"sample": [], "until": 0.0, "failed_hosts": [], "broken": broken}
            answer.update(changed=False, outcome=WORSE, not_kept=broken, again=False, **none)
        return answer

    def _before(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Which wave this is, and the hosts to compare with; waits until there is a before."""
        hostvars = task_vars["hostvars"]
        plan = hostvars["localhost"]["ansible_facts"][SCHEDULE]
        number, hosts = next(
            (index, wave) for index, wave in enumerate(plan["waves"], 1) if task_vars["inventory_hostname"] in wave
        )
        settings = hostvars[task_vars["inventory_hostname"]][LOOK]["to_change"]["settings"]
        stopped = self._stopped(hostvars, plan["waves"][number - 2], settings) if number > 1 else ""
        if stopped:
            self._say("no further wave: %s" % stopped, WORSE)
            return {"stopped": True, "msg": stopped}
        self._say("wave %d of %d: %s" % (number, len(plan["waves"]), self._count(hosts)))
        # Once each: a host's variables take Ansible milliseconds to put together.
        looks = [hostvars[host][LOOK] for host in hosts]
        seconds = min(int(look["to_change"]["settings"]["watched"]) for look in looks)
        others = compared(plan["waves"], number, plan["unchanged"], _MOST_OTHERS) if seconds else []
        known = read_before(_read_by(hostvars, plan["waves"][number - 2]), others) if number > 1 else []
        unread = [host for host in others if host not in {answer["item"] for answer in known}]
        looked = max(float(look["looked_at"]) for look in looks)
        self._sleep(looked + seconds - time.time(), "for traffic before the change, to compare with")
        compare = {"others": others, "known": known, "unread": unread}
        wave = {"number": number, "of": len(plan["waves"]), "hosts": hosts, "seconds": seconds, **compare}
        return {"wave": wave, "settings": {**settings, "watched": seconds}, "stopped": False}

    def _after(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Whether what follows the waves is to begin. Where nothing was changed, there is nothing that failed."""
        hostvars = task_vars["hostvars"]
        plan = hostvars["localhost"]["ansible_facts"][SCHEDULE]
        for wave in plan["waves"] if not self._task.check_mode else ():
            stopped = self._stopped(hostvars, wave, hostvars[wave[0]][LOOK]["to_change"]["settings"])
            if stopped:
                self._say("links are left as they are: %s" % stopped, WORSE)
                return {"stopped": True, "msg": stopped}
        return {"stopped": False}

    @staticmethod
    def _stopped(hostvars: Any, earlier: List[str], settings: Mapping[str, Any]) -> str:
        """Why no further wave is to begin: too much of the one before has failed."""
        failed = [host for host in earlier if _failed(hostvars[host].get(ENDED) or {})]
        return share_lost(failed, earlier, [], [], settings)

    def _wait(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Which hosts to read, until when; waits for traffic."""
        hosts, settings = self._given("hosts", []), self._given("settings", {})
        made = {host: task_vars["hostvars"][host].get(MADE) or {} for host in hosts}
        pending = [host for host in hosts if made[host].get("change")]
        # The last of the time is for confirming.
        ends = [float(made[host]["asked_at"]) + float(made[host]["change"]["window"]) for host in pending]
        turns = math.ceil(len(pending) / int(context.CLIARGS["forks"]))
        until = min(ends) - max(RESERVE, turns * _TO_CONFIRM) if ends else time.time()
        seconds = min(float(settings["watched"]), until - time.time() - _A_LOOK) if pending else 0.0
        self._sleep(seconds, "for traffic since the change")
        return {"sample": pending[:_MOST_READ], "until": until, "failed_hosts": [h for h in hosts if _failed(made[h])]}

    def _judge(self, task_vars: Dict[str, Any]) -> Dict[str, Any]:
        hostvars, settings = task_vars["hostvars"], self._given("settings", {})
        broken = self._given("broken", "")
        if broken:
            return {"outcome": WORSE, "not_kept": broken, "again": False}
        if not self._given("read", []) and not self._given("failed_hosts", []):
            return {"outcome": FINE, "not_kept": "", "again": False, "msg": "nothing had to be changed any more"}
        asked = [entry for entry in self._given("read", []) if entry.get("lost") or entry.get("counters")]
        read = {entry["item"]: entry for entry in asked}
        lost = [name for name, entry in read.items() if entry.get("lost")]
        too_many = share_lost(self._given("failed_hosts", []), self._given("hosts", []), lost, list(read), settings)
        # Little traffic is one thing, and none that was looked at another.
        reason = too_many or not_read(len(self._given("read", [])), len(read))
        if reason:
            self._say("health gate: %s" % reason, WORSE)
            return {"outcome": WORSE, "not_kept": reason, "again": False}
        changed = [
            Readings(
                name,
                _counters(hostvars[name][LOOK]),
                _counters(hostvars[name][MADE]),
                _counters(entry),
                hostvars[name][LOOK]["to_change"]["settings"]["gate_limits"],
            )
            for name, entry in read.items()
        ]
        first = {entry["item"]: entry for entry in self._given("others_before", [])}
        others = [
            Readings(
                entry["item"],
                _counters(hostvars[entry["item"]].get(LOOK) or {}),
                _counters(first.get(entry["item"]) or {}),
                _counters(entry),
            )
            for entry in self._given("others_after", [])
        ]
        verdict = judge(changed, others, settings["gate_minimum"])
        again = self._again(verdict, settings)
        for line in table(verdict, len(changed), len(others)):
            self._say(line, verdict.outcome)
        return {
            "outcome": verdict.outcome,
            "not_kept": "" if again else _not_kept(verdict, settings),
            "again": again,
            # Each over a connection made since its change.
            "reached": [name for name in read if name not in lost],
            "rows": [to_wire(row) for row in verdict.rows],
            "msg": verdict.why or FINE_TEXT,
        }

    def _again(self, verdict: Verdict, settings: Mapping[str, Any]) -> bool:
        waits = verdict.outcome == TOO_LITTLE and settings["gate_too_little"] == WAIT
        # What is worse may be a moment's: it is condemned when it stays so.
        doubts = verdict.outcome == WORSE and self._given("earlier", "") != WORSE
        return (waits or doubts) and time.time() + _A_LOOK < float(self._given("until", 0.0))

    def _given(self, name: str, otherwise: Any) -> Any:
        return self._task.args.get(name) or otherwise

    def _sleep(self, seconds: float, what: str) -> None:
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            if left <= 0:
                return
            self._say("waiting %d s %s" % (round(left), what))
            time.sleep(min(left, _PROGRESS))

    def _say(self, text: str, outcome: str = "") -> None:
        self._display.display(text, color=_COLOURS.get(outcome))

    @staticmethod
    def _count(hosts: List[str]) -> str:
        return hosts[0] if len(hosts) == 1 else "%d hosts" % len(hosts)


def _counters(answer: Mapping[str, Any]) -> Optional[Counters]:
    found = answer.get("counters")
    return from_wire(Counters, found) if found else None


def _read_by(hostvars: Any, earlier: List[str]) -> List[Mapping[str, Any]]:
    """What a wave has read of hosts that it did not change, when it was judged."""
    found = (hostvars[host].get(OTHERS) for host in earlier)
    return next((answer["results"] for answer in found if answer and answer.get("results")), [])


def _failed(made: Mapping[str, Any]) -> bool:
    return not made or bool(made.get("failed") or made.get("unreachable") or made.get("not_made"))


def _not_kept(verdict: Verdict, settings: Mapping[str, Any]) -> str:
    if verdict.outcome == WORSE:
        return "the health gate failed: %s" % verdict.why
    if verdict.outcome == TOO_LITTLE and settings["gate_too_little"] in (WAIT, STOP):
        return "not enough traffic to judge: %s" % verdict.why
    return ""
