# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the role's variables in their types. Runs on the controller alone."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Dict, List, Sequence

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import UnsupportedError

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._rules import DECLARATION

PREFIX = "tcp_tuning_"
# Seconds to confirm a change in.
_LONGEST_WINDOW = 3600


def typed(
    specification: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any], prefix: str = PREFIX
) -> Dict[str, Any]:
    """The values, with defaults; InputError with every problem, named as the role's variables are.

    specification: as of a module, by the names of the variables without their prefix, as those of given.
    """
    # The validator fills in what is missing of a default that has options of its own.
    named = {prefix + name: copy.deepcopy(dict(option)) for name, option in specification.items()}
    known = {prefix + str(name): value for name, value in given.items() if name in specification}
    checked = ArgumentSpecValidator(named).validate(known)
    # Of these the validator says no more than their names.
    problems = [
        Problem(prefix + str(name), "is not known", "what is known here: %s" % ", ".join(specification))
        for name in given
        if name not in specification
    ]
    problems += [problem for error in checked.errors for problem in _problems(error)]
    if problems:
        raise InputError(problems)
    return {name: checked.validated_parameters[prefix + name] for name in specification}


def _problems(error: Exception) -> Iterator[Problem]:
    """What Ansible's validator has found, in words that need no knowledge of it."""
    text = str(error)
    if isinstance(error, UnsupportedError):
        # Its words are the end of a sentence that modules begin.
        found, _words, known = text.partition(". Supported parameters include: ")
        names = found.split(", ")
        # Of several it says only what the last one could have been.
        cure = "what is known here: %s" % known.rstrip(".") if len(names) == 1 else "see the documentation"
        yield from (Problem(name, "is not known", cure) for name in names)
    else:
        # Of no other type it names a class of Python's.
        yield Problem("", re.sub(r"<class '[^']*'> cannot be converted to a float", "it is no number", text))


def range_problems(name: str, number: int, lowest: int, highest: int, meaning: str = "%s") -> Iterator[Problem]:
    """That a number is out of its range. name: of the variable, with its prefix; meaning: of what %s is the range."""
    if not lowest <= number <= highest:
        yield Problem(name, "%d is out of range" % number, meaning % ("%d to %d" % (lowest, highest)))


def differing(
    names: Iterable[str], settings: Mapping[str, Mapping[str, Any]], prefix: str, cure: str
) -> Iterator[Problem]:
    """Which of these settings are not the same for all hosts. settings: those of each host, by its name."""
    for name in names:
        seen: Dict[str, str] = {}
        for host, found in settings.items():
            seen.setdefault(repr(found[name]), host)
        if len(seen) > 1:
            (first, one), (second, other) = list(seen.items())[:2]
            yield Problem(prefix + name, "%s has %s, %s has %s" % (one, first, other, second), cure)


def window_problems(name: str, seconds: int, shortest: int) -> Iterator[Problem]:
    """The same of the seconds in which a change is to be confirmed."""
    if seconds != 0:
        meaning = "seconds, %s; 0: a change is final at once"
        yield from range_problems(name, seconds, shortest, _LONGEST_WINDOW, meaning)


def unknown_names(variables: Iterable[str], families: Mapping[str, Sequence[str]]) -> List[Finding]:
    """A finding for each variable that looks like ours and is not. families: names without their prefix, by prefix."""
    # The catalogue comes with it, which most callers do not need.
    from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import suggestion

    known = {prefix: [prefix + name for name in names] for prefix, names in families.items()}
    return [
        Finding(
            "variable", name, "warning", "there is no such variable", cure=suggestion(name, names), rule=DECLARATION
        )
        for name in sorted(variables)
        for prefix, names in known.items()
        if name.startswith(prefix) and name not in names
    ]
