# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a host to the desired state as one change: all of it, verified by reading it back, or nothing.

What stands there is recorded durably and a revert is armed before anything is touched. The running kernel changes
first, the files that decide the next boot last, and only once the change is confirmed: whatever interrupts it, and a
boot too, ends in the old state or in one that had been verified.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Dict, Iterable, Iterator, List, Optional, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _baseline, _baseline_change, _qdisc
from ansible_collections.netfleet.tcp.plugins.module_utils._begin import (
    Terms,
    begin,
    going_on,
    new_summary,
    recover,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint import Checkpoint, Things, joined
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import boot_id, uptime
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import LOCK_SECONDS, finish, taken_back
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, Problem, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._hand_over import needed
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Baseline,
    Change,
    ChangeSummary,
    Desired,
    FileState,
    Interface,
    Observed,
    Plan,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, load_vault, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import (
    BEFORE,
    LOADED,
    UNLOADED,
    file_targets,
    make_plan,
    names_endpoints,
    refusal,
    same_file,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import must_run
from ansible_collections.netfleet.tcp.plugins.module_utils._restore import raw_key
from ansible_collections.netfleet.tcp.plugins.module_utils._revert_timer import start_hand_over
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_endpoints import names_of, resolved
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import KEY_PATH, NEXT_KEY_PATH
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import SUBJECT, staged, tunnel_of
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import (
    change_tunnel,
    free_ports,
    group_id,
    next_key_files,
    private_key,
    read_tunnels,
    with_secrets,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS

_SUBJECTS = ("module", "sysctl", "qdisc", "tunnel", "file")


@dataclass(frozen=True)
class Outcome:
    """What a transaction found (observed), did (plan), left behind (after) and could not do (warnings).

    pending: the change that waits to be confirmed.
    """

    plan: Plan
    observed: Observed
    after: Observed
    warnings: Tuple[str, ...] = ()
    pending: Optional[ChangeSummary] = None


def request_for(desired: Desired) -> Request:
    """What has to be looked at in order to plan for this desired state."""
    return Request(
        keys=tuple(key.name for key in desired.keys),
        files=tuple(sorted({*desired.watched, *(entry.path for entry in desired.files)})),
        modules=desired.modules,
        qdiscs=bool(desired.qdiscs),
        blame=True,
        tunnels=bool(desired.tunnels),
        resolve=tuple(names_of(desired.tunnels)),
    )


def inspect(system: System, desired: Desired, secrets: Dict[str, str]) -> Outcome:
    """What apply would do, without doing it: check mode."""
    baseline, vault = load_vault(system, desired.name, secrets)
    observed = observe(system, request_for(desired), baseline, vault)
    return Outcome(make_plan(desired, observed), observed, observed)


def apply(system: System, desired: Desired, secrets: Dict[str, str], terms: Optional[Terms] = None) -> Outcome:
    """Bring the host to the desired state. HostError, with everything restored, if any part of it fails.

    With a window, the running kernel alone: confirm() writes the files, or the host takes everything back. As a part of
    a pending change (see Terms) it waits, fails and is taken back with that.
    """
    if not system.facts()["root"]:
        raise host_error("", "changing a host needs root", "use become")
    with system.lock(LOCK_SECONDS):
        terms = terms or Terms()
        warnings = [] if terms.amends else recover(system)
        with going_on(system, terms) as earlier:
            outcome = _apply(system, desired, secrets, terms, earlier)
        return replace(outcome, warnings=(*warnings, *outcome.warnings))


def _apply(
    system: System, desired: Desired, secrets: Dict[str, str], terms: Terms, earlier: Optional[Checkpoint]
) -> Outcome:
    baseline, vault = load_vault(system, desired.name, secrets)
    observed = observe(system, request_for(desired), baseline, vault)
    plan = make_plan(desired, observed)
    refused = refusal(plan.findings)
    if refused:
        raise refused
    if not plan.changes:
        _record(system, desired, baseline, _baseline_change.shrunk(baseline, desired))
        return Outcome(plan, observed, observed, pending=earlier.summary if earlier else None)
    return _Transaction(system, desired, observed, baseline, vault, secrets, earlier).run(plan, terms)


def _record(system: System, desired: Desired, old: Baseline, new: Baseline) -> None:
    if new == old:
        return
    state = _record_state(desired, new)
    try:
        if state.kind == "absent":
            system.remove(state.path)
            system.remove_empty_directory(_baseline.STATE_DIRECTORY)
        else:
            system.make_private_directory(_baseline.STATE_DIRECTORY)
            system.write_file(state.path, state.text, state.mode)
    except OSError as error:
        raise host_error(state.path, "cannot be written: %s" % error, "mend that, then run again") from error


def _record_state(desired: Desired, baseline: Baseline) -> FileState:
    """The file that remembers a baseline."""
    path = _baseline.baseline_path(desired.name)
    return FileState(path) if baseline.empty else FileState(path, "file", 0o600, _baseline_change.dump(baseline))


def _to_restore(name: str, text: str) -> str:
    if name in SECRET_KEYS and not text.strip("0-"):
        # There is no key yet; the kernel makes one at random when it needs it. Zeros, once written, are a key that
        # everybody knows. Nothing unsets a key, so what is given back is a random one.
        number = os.urandom(16).hex()
        return "-".join(number[start : start + 8] for start in range(0, 32, 8))
    return text


def _each_tunnel_once(changes: Iterable[Change]) -> Iterator[Change]:
    """The changes but for those of a tunnel that another one of it has made: it is changed as a whole."""
    seen: Set[str] = set()
    for change in changes:
        if change.subject != SUBJECT or tunnel_of(change) not in seen:
            yield change
        if change.subject == SUBJECT:
            seen.add(tunnel_of(change))


class _Transaction:
    """The steps of one change of the running kernel; its files are finish's."""

    def __init__(
        self,
        system: System,
        desired: Desired,
        observed: Observed,
        baseline: Baseline,
        vault: Vault,
        secrets: Dict[str, str],
        earlier: Optional[Checkpoint] = None,
    ) -> None:
        self._system = system
        self._earlier = earlier
        self._desired = desired
        self._observed = observed
        self._old_baseline = baseline
        self._vault = vault
        self._interfaces: Dict[str, Interface] = {entry.name: entry for entry in observed.interfaces}
        # Unmasked, from here to the records on the host only.
        raw = {name: raw_key(system, name) for name in observed.keys}
        self._raw_keys = {name: _to_restore(name, text) for name, text in raw.items() if text is not None}
        self._raw_files = {path: system.file_state(path) for path in observed.files}
        self._raw_tunnels = read_tunnels(system) if desired.tunnels or baseline.tunnels else {}
        self._baseline = _baseline_change.grown(
            baseline, desired, observed, self._raw_keys, self._raw_files, self._raw_tunnels
        )
        self._settled = False
        self._window = 0
        self._key_path = KEY_PATH
        self._tunnels = self._wanted_tunnels(secrets)

    def run(self, plan: Plan, terms: Terms) -> Outcome:
        """Record, arm, change, verify; without a window also finish."""
        steps = {"module": self._module, "sysctl": self._sysctl, "qdisc": self._qdisc, "tunnel": self._tunnel}
        self._settled, self._window = names_endpoints(self._desired, self._observed), terms.window
        pending = self._checkpoint(plan, terms)
        warnings: List[str] = []
        try:
            begin(self._system, pending, terms)
            free_ports(self._system, pending.after.tunnels)
            for change in _each_tunnel_once(plan.changes):
                if change.subject in steps and change.want != UNLOADED:
                    steps[change.subject](change)
            self._verify()
            if terms.window and needed(pending.after.tunnels.values()):
                start_hand_over(self._system)
            if not terms.window:
                _ended, warnings = finish(self._system, pending)
            after = self._look()
        except BaseException as error:
            # Whatever it was, an interrupt or a fault of ours included: never leave a host half changed.
            raise taken_back(self._system, error) from error
        return Outcome(plan, self._observed, after, tuple(warnings), pending.summary if terms.window else None)

    def _checkpoint(self, plan: Plan, terms: Terms) -> Checkpoint:
        """What stands there and what shall, of all that the plan touches."""
        changes = {subject: [entry for entry in plan.changes if entry.subject == subject] for subject in _SUBJECTS}
        keys = [change.key for change in changes["sysctl"]]
        targets = {state.path: state for state in file_targets(self._desired, self._observed)}
        files = {change.key: self._target(change, targets[change.key]) for change in changes["file"]}
        tunnels = dict.fromkeys(tunnel_of(change) for change in changes["tunnel"])
        record = _record_state(self._desired, _baseline_change.shrunk(self._baseline, self._desired))
        before = {path: self._raw_files[path] for path in files}
        others = {} if same_file(self._system.file_state(record.path), record) else {record.path: record}
        if self._key_path == NEXT_KEY_PATH:
            others.update(next_key_files(self._system))
        files.update(others)
        before.update({path: self._system.file_state(path) for path in others})
        system = self._system
        own = Checkpoint(
            summary=new_summary(system, self._desired.name, terms),
            before=Things(
                keys={key: self._raw_keys[key] for key in keys if key in self._raw_keys},
                qdiscs={entry.key: _qdisc.state_name(self._interfaces[entry.key]) for entry in changes["qdisc"]},
                modules={entry.key: entry.want != LOADED for entry in changes["module"]},
                files=before,
                tunnels={name: self._raw_tunnels.get(name) for name in tunnels},
            ),
            after=Things(
                keys={entry.key: self._vault.reveal(entry.want) for entry in changes["sysctl"]},
                qdiscs={entry.key: entry.want for entry in changes["qdisc"]},
                modules={entry.key: entry.want == LOADED for entry in changes["module"]},
                files=files,
                tunnels={name: self._tunnel_target(name) for name in tunnels},
            ),
            boot=boot_id(system),
            due=uptime(system) + terms.seconds,
            congestion_control=self._desired.congestion_control,
            changes=plan.changes,
        )
        return joined(self._earlier, own)

    def _target(self, change: Change, target: FileState) -> FileState:
        if change.reason == BEFORE and change.key in self._old_baseline.files:
            # The masked state that was planned with has no secrets in it; the baseline on disk has.
            return self._old_baseline.files[change.key]
        group = next((entry.group for entry in self._desired.files if entry.path == target.path), "")
        gid = group_id(self._system, group) if group else target.gid
        return replace(target, text=self._vault.reveal(target.text), gid=gid)

    def _module(self, change: Change) -> None:
        must_run(self._system, ["modprobe", "--", change.key])

    def _sysctl(self, change: Change) -> None:
        try:
            self._system.write_sysctl(change.key, self._vault.reveal(change.want))
        except OSError as error:
            raise host_error(
                change.key, "the kernel refused %s: %s" % (change.want, error.strerror), "see dmesg on the host"
            ) from error

    def _qdisc(self, change: Change) -> None:
        interface = self._interfaces[change.key]
        if change.reason == BEFORE:
            default = raw_key(self._system, "net.core.default_qdisc")
            lines = _qdisc.restore_commands(interface, change.want, default)
        else:
            kinds = {wanted.interface: wanted.kind for wanted in self._desired.qdiscs}
            lines = _qdisc.commands(interface, kinds[change.key])
        if lines:
            must_run(self._system, ["tc", "-batch", "-"], "\n".join(lines) + "\n")

    def _wanted_tunnels(self, secrets: Dict[str, str]) -> Dict[str, Tunnel]:
        """The desired ones with their secrets."""
        if not self._desired.tunnels:
            return {}
        planned = {tunnel.public_key for tunnel in self._desired.tunnels}
        private, self._key_path = private_key(self._system, planned)
        found = {}
        for tunnel in self._desired.tunnels:
            there = self._raw_tunnels.get(tunnel.name)
            found[tunnel.name] = with_secrets(resolved(tunnel, self._observed.resolved, there), private, secrets, there)
        return found

    def _tunnel_target(self, name: str) -> Optional[Tunnel]:
        return self._tunnels[name] if name in self._tunnels else self._old_baseline.tunnels.get(name)

    def _tunnel(self, change: Change) -> None:
        name = tunnel_of(change)
        target = self._tunnel_target(name)
        # The transaction holds the lock: what it has read is what is there.
        first = self._first(target, self._raw_tunnels.get(name)) if target else None
        change_tunnel(self._system, name, first, self._settled)

    def _first(self, target: Tunnel, have: Optional[Tunnel]) -> Tunnel:
        """What is made of a tunnel now: a change that is final at once has no time to hand keys over."""
        return staged(target, have) if self._window else target

    def _look(self) -> Observed:
        return observe(self._system, request_for(self._desired), self._baseline, self._vault)

    def _verify(self) -> None:
        """Read the kernel again; whatever still differs is a failure, not a success without effect."""
        after = self._look()
        # Keys are handed over later on.
        tunnels = tuple(self._first(tunnel, after.tunnels.get(tunnel.name)) for tunnel in self._desired.tunnels)
        # A peer that speaks from elsewhere by now has been told where it was wanted.
        plan = make_plan(replace(self._desired, tunnels=tunnels), after, True)
        changes = [entry for entry in plan.changes if entry.subject != "file"]
        left = [entry for entry in changes if entry.want != UNLOADED]
        problems = [Problem(change.key, "is %s after %s was set" % (change.running, change.want)) for change in left]
        wanted = self._desired.congestion_control
        given = after.new_socket_congestion_control
        if wanted and given and given != wanted:
            problems.append(Problem("congestion control", "a new socket gets %s, not %s" % (given, wanted)))
        if problems:
            raise HostError(problems)
