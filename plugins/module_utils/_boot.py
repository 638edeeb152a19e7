# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who decides a key at the next boot: now, and once our files are in place; and the file that overrules others. Pure.

sysctl.d is read first. Where tuned is active it comes second: it sets the values of its profile and, unless told not
to, applies /run/sysctl.d, /etc/sysctl.d and /etc/sysctl.conf again (tuned's plugin_sysctl.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, FrozenSet, Iterable, Iterator, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import DEAD_KEYS
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import (
    MANAGED,
    precedence_path,
    sysctl_path,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    ANOTHER_DECLARATION,
    TUNED,
    Assignment,
    Desired,
    DesiredFile,
    DesiredKey,
    KeyState,
    Observed,
    Owner,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import (
    PROCPS,
    SYSCTL_CONF,
    SYSTEMD,
    parse,
    rank_of,
    winner,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS, same_value

_SYSCTL_D = "/etc/sysctl.d/"
_REAPPLIED = ("/etc/", "/run/")
_MOST_PLACES = 3
# Of a tuned that has the last word.
TUNED_CURE = "set reapply_sysctl = 1 in /etc/tuned/tuned-main.conf, or choose another profile"


def effective(state: KeyState, observed: Observed) -> Optional[Assignment]:
    """The line that decides a key at the next boot, as the host stands now; None where no file sets it."""
    line = winner(state.boot, observed.reader)
    tuned = _tuned(observed)
    if tuned is None:
        return line
    line = _set_by(tuned, state.name) or line
    if tuned.reapplies:
        again = _applied_again(state)
        line = again[-1] if again else line
    return line


def rival(
    state: KeyState, own: Assignment, desired: Desired, observed: Observed, leaving: FrozenSet[str] = frozenset()
) -> Optional[Assignment]:
    """The line of somebody else's file that decides the key at the next boot once the desired files are in place.

    None where ours decides. Files of ours, those of ours that go (leaving), and files that ours hide by having the same
    name, do not count.
    """
    tuned = _tuned(observed)
    again = tuned is not None and tuned.reapplies
    last = _set_by(tuned, state.name) if tuned and not again else None
    if last:
        return last
    lines = _applied_again(state) if again else [entry for entry in state.boot if not entry.glob]
    if observed.reader == PROCPS:
        # There an exclusion holds off globs alone.
        lines = [entry for entry in lines if entry.value is not None]
    own_paths = {entry.path for entry in desired.files} | leaving
    own_ranks = {rank_of(path) for path in own_paths if path.startswith(_SYSCTL_D)}
    others = [entry for entry in lines if entry.file not in own_paths and entry.rank not in own_ranks]
    order = _order_of_tuned if again else _order
    later = [entry for entry in others if order(entry)[0] > own.rank]
    return max(later, key=order) if later else None


def rival_cure(other: Assignment, observed: Observed) -> str:
    """What to do about the line of a rival."""
    tuned = _tuned(observed)
    if tuned and other in tuned.sets.values():
        return TUNED_CURE
    return "remove that line, or choose a file name for ours that sorts after it"


def own_assignments(desired: Desired) -> Dict[str, Assignment]:
    """What the desired files themselves set at boot, by key. A template may leave a key out; then so does this."""
    texts = [entry for entry in desired.files if entry.path.startswith(_SYSCTL_D)]
    found: Dict[str, Assignment] = {}
    for entry in sorted(texts, key=lambda entry: rank_of(entry.path)):
        found.update(parse(entry.path, entry.text))
    return found


def own_file_assignment(state: KeyState, file_name: str) -> Optional[Assignment]:
    """The line of our own file on the host that gives the key a value, if there is one."""
    lines = [entry for entry in state.boot if entry.file == sysctl_path(file_name) and entry.value is not None]
    return lines[-1] if lines else None


def with_precedence(desired: Desired, file_name: str, observed: Observed) -> Desired:
    """The desired state with one more file that sorts after the others, where somebody else's would win at boot.

    It sets the keys in question again, and excludes those that do nothing any more but are set by somebody's file.
    """
    lines: List[str] = []
    overruled: List[Assignment] = []
    own = own_assignments(desired)
    # As if the extra file were not there yet: otherwise what it overrules would be found every other time only.
    leaving = frozenset(observed.baseline.files) | {precedence_path(file_name)}
    for key in desired.keys:
        other = _overruled(key, own, desired, observed, leaving)
        if other:
            # Without line and value: these may change, and nothing at boot with them.
            told = "sets it too" if other.value is not None else "excludes it"
            lines += ["", "# %s %s" % (_name(other), told), "%s = %s" % (key.name, key.value)]
            overruled.append(other)
    for name, line in _excludable(desired, observed, file_name) if desired.keys else ():
        lines += ["", "# %s sets it, and the kernel does nothing with it" % _name(line), "-%s" % name]
        overruled.append(line)
    if not lines:
        return desired
    text = "\n".join([MANAGED, "# Overrules files of others, which stay as they are.", *lines]) + "\n"
    # Here the lines are named: this is for whoever reads the plan now, and no part of the file.
    places = list(dict.fromkeys("%s:%d" % (_name(entry), entry.line) for entry in overruled))
    more = " and %d more" % (len(places) - _MOST_PLACES) if len(places) > _MOST_PLACES else ""
    reason = "overrules %s%s at boot" % (", ".join(places[:_MOST_PLACES]), more)
    extra = DesiredFile(precedence_path(file_name), 0o644, text, reason=reason)
    return replace(desired, files=(*desired.files, extra))


def _overruled(
    key: DesiredKey, own: Dict[str, Assignment], desired: Desired, observed: Observed, leaving: FrozenSet[str]
) -> Optional[Assignment]:
    if key.name not in own or key.name in SECRET_KEYS:
        return None
    other = rival(observed.keys[key.name], own[key.name], desired, observed, leaving)
    if other is None or same_value(key.name, other.value, key.value):
        return None
    # Two declarations of ours that overruled each other would do so for ever: theirs is a conflict to be settled.
    return None if observed.authors.get(other.file) == ANOTHER_DECLARATION else other


def dead_lines(observed: Observed) -> Tuple[Assignment, ...]:
    """The lines that would set, at the next boot, a key that the kernel has removed or ignores."""
    found: Iterable[Optional[Assignment]] = (
        winner(observed.keys[name].boot, observed.reader) for name in DEAD_KEYS if name in observed.keys
    )
    return tuple(entry for entry in found if entry is not None and not entry.glob)


def _excludable(desired: Desired, observed: Observed, file_name: str) -> Iterator[Tuple[str, Assignment]]:
    """Keys that do nothing any more, each with somebody's line that sets it at boot and can be held off."""
    if observed.reader != SYSTEMD:
        # For procps an exclusion holds off globs, not lines that name the key.
        return
    # Ours, and what ours hide.
    passed = {rank_of(path) for path in (*(entry.path for entry in desired.files), precedence_path(file_name))}
    for name in DEAD_KEYS:
        state = observed.keys.get(name)
        entries = [entry for entry in state.boot if entry.rank not in passed] if state else []
        line = winner(entries, observed.reader)
        # One that sorts after ours would set the key all the same.
        if line and not line.glob and line.rank < rank_of(precedence_path(file_name)):
            yield name, line


def _name(entry: Assignment) -> str:
    """A file's name for a comment: whatever is in it, it ends no line."""
    return "".join(letter if letter.isprintable() else "?" for letter in entry.target or entry.file)


def _tuned(observed: Observed) -> Optional[Owner]:
    return next((owner for owner in observed.owners if owner.name.startswith(TUNED)), None)


def _set_by(tuned: Owner, name: str) -> Optional[Assignment]:
    """What tuned's profile gives a key; None also where that depends on the host: most often ours meets the bound."""
    line = tuned.sets.get(name)
    return line if line and line.value is not None else None


def _applied_again(state: KeyState) -> List[Assignment]:
    """The lines that tuned applies once more, in its order. It knows neither globs nor exclusions."""
    lines = [entry for entry in (*state.boot, *state.aside) if entry.file.startswith(_REAPPLIED)]
    return sorted((entry for entry in lines if not entry.glob and entry.value is not None), key=_order_of_tuned)


def _order(entry: Assignment) -> Tuple[str, int]:
    return entry.rank, entry.line


def _order_of_tuned(entry: Assignment) -> Tuple[str, int]:
    # It ends with /etc/sysctl.conf, also where the boot has read that before, by a link in sysctl.d.
    return rank_of(entry.target) if entry.target == SYSCTL_CONF else entry.rank, entry.line
