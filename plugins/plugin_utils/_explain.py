# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a key's value on a host comes from: layer by layer, what runs, and who wins at the next boot. Pure.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._boot import effective
from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import INDEX, refused_because
from ansible_collections.netfleet.tcp.plugins.module_utils._model import TUNED, Assignment, KeyState, Observed
from ansible_collections.netfleet.tcp.plugins.module_utils._policy import Choice, Intent
from ansible_collections.netfleet.tcp.plugins.module_utils._resolve import Resolved
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import NOBODY, explain_boot
from ansible_collections.netfleet.tcp.plugins.module_utils._values import same_value

Line = Tuple[str, str]
_LABEL = "  %-10s "


def explain(name: str, intent: Intent, resolved: Resolved, observed: Observed) -> Tuple[Line, ...]:
    """(style, line) of the answer for one key; style as in the recap: title, changed, ok, plain."""
    state = observed.keys.get(name, KeyState(name, None))
    chosen = next((choice for choice in resolved.choices if choice.key == name), None)
    lines: List[Line] = [("title", "%s = %s" % (name, chosen.value) if chosen else "%s is not declared here" % name)]
    lines += _meaning(name)
    lines += _layers(name, intent, chosen)
    lines += _running(state, chosen, observed)
    lines += _boot(state, chosen, observed)
    lines += [_plain("remark", str(finding)) for finding in resolved.findings if finding.key == name]
    return tuple(lines)


def _plain(label: str, text: str) -> Line:
    return "plain", _LABEL % label + text


def _meaning(name: str) -> Iterator[Line]:
    why, instead = refused_because(name)
    if why:
        yield _plain("refused", "%s; %s" % (why, instead))
    elif name in INDEX:
        key = INDEX[name]
        yield _plain("what", "%s [%s]; a change takes effect: %s" % (key.what, key.unit, key.takes_effect))
    else:
        yield _plain("what", "not in the catalogue: netfleet.tcp neither sets it nor checks it")


def _layers(name: str, intent: Intent, chosen: Choice | None) -> Iterator[Line]:
    """Every layer that gave the key a value, the strongest last; what the host made of it comes after them."""
    layers = [choice for choice in intent.layers if choice.key == name]
    if chosen and not any(_same(layer, chosen) for layer in layers):
        layers.append(chosen)
    label = "layers"
    for layer in layers:
        wins = chosen is not None and _same(layer, chosen)
        yield _plain(label, "%s %-24s %s" % ("->" if wins else "  ", layer.layer, layer.value))
        yield _plain("", "   %s%s" % (layer.reason, "; source: %s" % layer.source if layer.source else ""))
        label = ""


def _same(left: Choice, right: Choice) -> bool:
    return (left.layer, left.value) == (right.layer, right.value)


def _running(state: KeyState, chosen: Choice | None, observed: Observed) -> Iterator[Line]:
    if state.running is None:
        yield _plain("running", state.limit or "cannot be read")
        return
    wrong = chosen is not None and not same_value(state.name, state.running, chosen.value)
    yield (
        "changed" if wrong else "plain",
        _LABEL % "running" + (state.running or "(empty)") + (", which is not what is declared" if wrong else ""),
    )
    before = observed.baseline.keys.get(state.name)
    if before is not None:
        yield _plain("before us", before)
    for owner in observed.owners:
        if state.name in owner.sets:
            line = owner.sets[state.name]
            yield _plain(
                "also", "%s sets %s (%s)" % (owner.name, line.value or "it", line.place if line.line else "live")
            )


def _boot(state: KeyState, chosen: Choice | None, observed: Observed) -> Iterator[Line]:
    if observed.reader == NOBODY:
        yield _plain("next boot", "nothing on this host applies sysctl.d")
        return
    line = effective(state, observed)
    boot = explain_boot(state.boot, observed.reader)
    wrong = chosen is not None and (line is None or not same_value(state.name, line.value, chosen.value))
    reader = observed.reader if line == boot.winner else TUNED
    text = "%s, by %s (%s)" % (line.value, _place(line, observed), reader) if line else "no file sets it"
    yield (
        "changed" if wrong else "plain",
        _LABEL % "next boot" + text + (", which is not what is declared" if wrong else ""),
    )
    shadowed = [(entry, reason) for entry, reason in boot.shadowed if entry != line]
    if boot.winner and boot.winner != line:
        shadowed.append((boot.winner, "%s comes after it" % TUNED))
    for entry, reason in shadowed:
        yield _plain("shadowed", "%s, by %s: %s" % (_value(entry), _place(entry, observed), reason))
    for entry in state.aside:
        if entry != line:
            text = "%s, by %s: this host does not read it at boot" % (_value(entry), _place(entry, observed))
            yield _plain("aside", text)


def _value(entry: Assignment) -> str:
    return "excluded" if entry.value is None else entry.value


def _place(entry: Assignment, observed: Observed) -> str:
    author = observed.authors.get(entry.file)
    return "%s%s" % (entry.place, " of %s" % author if author else "")
