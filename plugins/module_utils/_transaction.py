# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a host to the desired state as one transaction: all of it, verified by reading it back, or nothing.

The running kernel changes first and the files that decide the next boot last: whatever interrupts the run, a reboot
leads to a state that had been verified.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _baseline, _baseline_change, _qdisc
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, Problem, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Baseline,
    Change,
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
    file_targets,
    make_plan,
    refusal,
    same_file,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS, key_path

_LOCK_SECONDS = 30.0
_Undo = Tuple[str, Callable[[], None]]


@dataclass(frozen=True)
class Outcome:
    """What a transaction found (observed), did (plan), left behind (after) and could not do (warnings)."""

    plan: Plan
    observed: Observed
    after: Observed
    warnings: Tuple[str, ...] = ()


def request_for(desired: Desired) -> Request:
    """What has to be looked at in order to plan for this desired state."""
    return Request(
        keys=tuple(key.name for key in desired.keys),
        files=tuple(sorted({*desired.watched, *(entry.path for entry in desired.files)})),
        modules=desired.modules,
        qdiscs=bool(desired.qdiscs),
        blame=True,
    )


def inspect(system: System, desired: Desired, secrets: Dict[str, str]) -> Outcome:
    """What apply would do, without doing it: check mode."""
    baseline, vault = load_vault(system, desired.name, secrets)
    observed = observe(system, request_for(desired), baseline, vault)
    return Outcome(make_plan(desired, observed), observed, observed)


def apply(system: System, desired: Desired, secrets: Dict[str, str]) -> Outcome:
    """Bring the host to the desired state. HostError, with everything restored, if any part of it fails."""
    if not system.facts()["root"]:
        raise host_error("", "changing a host needs root", "use become")
    with system.lock(_LOCK_SECONDS):
        baseline, vault = load_vault(system, desired.name, secrets)
        observed = observe(system, request_for(desired), baseline, vault)
        plan = make_plan(desired, observed)
        refused = refusal(plan.findings)
        if refused:
            raise refused
        if not plan.changes:
            _record(system, desired, baseline, _baseline_change.shrunk(baseline, desired))
            return Outcome(plan, observed, observed)
        return _Transaction(system, desired, observed, baseline, vault).run(plan)


def _record(system: System, desired: Desired, old: Baseline, new: Baseline) -> None:
    if new == old:
        return
    path = _baseline.baseline_path(desired.name)
    try:
        if new.empty:
            system.remove(path)
            system.remove_empty_directory(_baseline.STATE_DIRECTORY)
        else:
            system.make_private_directory(_baseline.STATE_DIRECTORY)
            system.write_file(path, _baseline_change.dump(new), 0o600)
    except OSError as error:
        raise host_error(path, "cannot be written: %s" % error, "mend that, then run again") from error


def _to_restore(name: str, text: str) -> str:
    if name in SECRET_KEYS and not text.strip("0-"):
        # There is no key yet; the kernel makes one at random when it needs it. Zeros, once written, are a key that
        # everybody knows. Nothing unsets a key, so what is given back is a random one.
        number = os.urandom(16).hex()
        return "-".join(number[start : start + 8] for start in range(0, 32, 8))
    return text


class _Transaction:
    """The steps of one application, and how to take each back."""

    def __init__(self, system: System, desired: Desired, observed: Observed, baseline: Baseline, vault: Vault) -> None:
        self._system = system
        self._desired = desired
        self._observed = observed
        self._old_baseline = baseline
        self._vault = vault
        self._undo: List[_Undo] = []
        self._module_steps = 0
        self._warnings: List[str] = []
        self._interfaces: Dict[str, Interface] = {entry.name: entry for entry in observed.interfaces}
        # Unmasked, from here to the baseline and the undo steps only.
        raw = {name: self._raw_key(name) for name in observed.keys}
        self._raw_keys = {name: _to_restore(name, text) for name, text in raw.items() if text is not None}
        self._raw_files = {path: system.file_state(path) for path in observed.files}

    def run(self, plan: Plan) -> Outcome:
        """Apply the plan's changes, verify, and settle the baseline."""
        steps = {"module": self._module, "sysctl": self._sysctl, "qdisc": self._qdisc, "file": self._file}
        grown = _baseline_change.grown(
            self._old_baseline, self._desired, self._observed, self._raw_keys, self._raw_files
        )
        try:
            _record(self._system, self._desired, self._old_baseline, grown)
            for change in plan.changes:
                steps[change.subject](change)
            after = self._verify(grown)
            _record(self._system, self._desired, grown, _baseline_change.shrunk(grown, self._desired))
        except BaseException as error:
            # Whatever it was, an interrupt or a fault of ours included: never leave a host half changed.
            raise self._restored(error) from error
        return Outcome(plan, self._observed, after, tuple(self._warnings))

    def _raw_key(self, name: str) -> Optional[str]:
        text = self._system.read("/proc/sys/" + key_path(name))
        return None if text is None else " ".join(text.split())

    def _module(self, change: Change) -> None:
        if change.want == LOADED:
            self._undo.append((change.key, lambda: self._unload(change.key)))
            self._module_steps += 1
            self._must_run(["modprobe", "--", change.key])
            return
        status, _output, _error = self._system.run(["modprobe", "-r", "--", change.key])
        if status != 0:
            self._warnings.append(
                "module %s is still in use; it stays loaded until its last user closes or the next reboot" % change.key
            )
        self._undo.append((change.key, lambda: self._must_run(["modprobe", "--", change.key])))

    def _unload(self, name: str) -> None:
        loaded = (self._system.read("/proc/modules") or "").splitlines()
        if any(line.split(" ", 1)[0] == name for line in loaded):
            self._must_run(["modprobe", "-r", "--", name])

    def _sysctl(self, change: Change) -> None:
        before = self._raw_keys.get(change.key)
        if before is not None:
            # Recorded before the write: a failed write of a vector may have changed its first fields.
            self._undo.append((change.key, lambda: self._give_back_key(change.key, before)))
        try:
            self._system.write_sysctl(change.key, self._vault.reveal(change.want))
        except OSError as error:
            raise host_error(
                change.key, "the kernel refused %s: %s" % (change.want, error.strerror), "see dmesg on the host"
            ) from error

    def _give_back_key(self, name: str, before: str) -> None:
        # Where the write itself was refused, nothing has changed, and a second one would be refused like the first.
        if self._raw_key(name) != before:
            self._system.write_sysctl(name, before)

    def _qdisc(self, change: Change) -> None:
        interface = self._interfaces[change.key]
        before = _qdisc.state_name(interface)
        default = self._default_qdisc()
        if change.reason == BEFORE:
            lines = _qdisc.restore_commands(interface, change.want, default)
        else:
            kinds = {wanted.interface: wanted.kind for wanted in self._desired.qdiscs}
            lines = _qdisc.commands(interface, kinds[change.key])
        # Undone once the keys are (what the kernel attaches depends on default_qdisc), and before modules are unloaded.
        self._undo.insert(self._module_steps, (change.key, lambda: self._give_back_qdisc(change.key, before)))
        self._tc(lines)

    def _give_back_qdisc(self, name: str, before: str) -> None:
        present = observe(self._system, Request(qdiscs=True), Baseline(), Vault())
        interface = {entry.name: entry for entry in present.interfaces}.get(name)
        if interface and _qdisc.state_name(interface) != before:
            self._tc(_qdisc.restore_commands(interface, before, self._default_qdisc()))

    def _default_qdisc(self) -> Optional[str]:
        return self._raw_key("net.core.default_qdisc")

    def _tc(self, lines: List[str]) -> None:
        if lines:
            self._must_run(["tc", "-batch", "-"], "\n".join(lines) + "\n")

    def _file(self, change: Change) -> None:
        before = self._raw_files[change.key]
        self._undo.append((change.key, lambda: self._put_back(before)))
        if change.reason == BEFORE and change.key in self._old_baseline.files:
            # The masked state that was planned with has no secrets in it; the baseline on disk has.
            self._put(self._old_baseline.files[change.key])
            return
        target = {state.path: state for state in file_targets(self._desired, self._observed)}[change.key]
        self._put(FileState(target.path, target.kind, target.mode, self._vault.reveal(target.text), target.target))

    def _put_back(self, before: FileState) -> None:
        # Where the write itself failed, nothing has changed, and a second attempt would fail like the first.
        if not same_file(self._system.file_state(before.path), before):
            self._put(before)

    def _put(self, state: FileState) -> None:
        if state.kind == "other":
            raise host_error(state.path, "is neither a file nor a link", "move it away")
        try:
            if state.kind == "absent":
                self._system.remove(state.path)
            elif state.kind == "symlink":
                self._system.write_link(state.path, state.target)
            else:
                self._system.write_file(state.path, state.text, state.mode)
        except OSError as error:
            # A full disk, a read-only mount, chattr +i: the error of a write does not name its file.
            text = "cannot be changed: %s" % (error.strerror or error)
            raise host_error(state.path, text, "mend that on the host, then run again") from error

    def _must_run(self, argv: List[str], stdin: str = "") -> None:
        status, _output, error = self._system.run(argv, stdin)
        if status != 0:
            raise host_error(" ".join(argv), error.strip() or "exit status %d" % status)

    def _verify(self, baseline: Baseline) -> Observed:
        """Read the kernel and the files again; whatever still differs is a failure, not a success without effect."""
        after = observe(self._system, request_for(self._desired), baseline, self._vault)
        left = [change for change in make_plan(self._desired, after).changes if change.want != "unloaded"]
        problems = [Problem(change.key, "is %s after %s was set" % (change.running, change.want)) for change in left]
        wanted = self._desired.congestion_control
        given = after.new_socket_congestion_control
        if wanted and given and given != wanted:
            problems.append(Problem("congestion control", "a new socket gets %s, not %s" % (given, wanted)))
        if problems:
            raise HostError(problems)
        return after

    def _give_back_record(self) -> None:
        # By what stands there, not by what was planned: the write that failed may have taken effect.
        present = _baseline.load("", self._system.read(_baseline.baseline_path(self._desired.name)))
        _record(self._system, self._desired, present, self._old_baseline)
        if self._old_baseline.empty:
            self._system.remove_empty_directory(_baseline.STATE_DIRECTORY)

    def _restored(self, error: BaseException) -> HostError:
        """Undo every step, last first, and say so; what could not be undone is named."""
        problems = list(error.problems) if isinstance(error, HostError) else [Problem("", str(error) or repr(error))]
        failed = []
        path = _baseline.baseline_path(self._desired.name)
        for name, undo in [(path, self._give_back_record), *self._undo][::-1]:
            try:
                undo()
            except Exception as undo_error:  # noqa: BLE001 - one that fails must not keep the others from being undone
                failed.append(Problem(name, "could not be restored: %s" % undo_error))
        if not failed:
            problems.append(Problem("", "everything was restored; nothing has changed on this host"))
        return HostError(problems + failed)
