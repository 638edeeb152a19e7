# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says of one host: its variables, filled in, and its groups.

Runs on the controller alone. Loaded by every check: it needs nothing of what a check is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, List

from ansible.template import trust_as_template

# The variables of a host with a prefix, by their names without it: (prefix, names) -> values.
Declared = Callable[[str, Iterable[str]], Mapping[str, Any]]


def declared_by(templar: Any, task_vars: Mapping[str, Any]) -> Declared:
    """Reads the variables that a host has of those with a prefix, filled in. templar: of the action."""

    def declared(prefix: str, names: Iterable[str]) -> Mapping[str, Any]:
        named = ["'%s': %s%s" % (name, prefix, name) for name in names if prefix + name in task_vars]
        found: Mapping[str, Any] = templar.template(trust_as_template("{{ {%s} }}" % ", ".join(named)))
        return found

    return declared


def groups(task_vars: Mapping[str, Any]) -> List[str]:
    """The groups of the inventory that the host is in."""
    return [str(name) for name in task_vars.get("group_names") or []]
