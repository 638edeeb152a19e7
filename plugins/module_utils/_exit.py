# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module ends: its result as JSON can carry it, and the one place where an error of ours becomes a failure.

Apart from the results of plans (_result), so that a module that only looks carries none of the planning to its host.
"""

from __future__ import annotations

from typing import Any, Callable, Dict

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError


def failure(error: NetfleetError) -> Dict[str, Any]:
    """The result of a run that an error ended."""
    problems = [str(problem) for problem in error.problems]
    more = len(problems) - 1
    msg = "%s; and %d more, see problems" % (problems[0], more) if more > 0 else str(error)
    return {"msg": msg, "problems": problems}


def run_module(module: Any, function: Callable[[], Dict[str, Any]]) -> None:
    """Run a module's work and exit with its result; every error of ours becomes fail_json here and nowhere else."""
    try:
        result = function()
    except NetfleetError as error:
        module.fail_json(**printable(failure(error)))
    result = printable(result)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    module.exit_json(**result)


def printable(value: Any) -> Any:
    """The value with bytes that were not UTF-8 (in a file or its name) in hexadecimal: JSON cannot carry them."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, (list, tuple)) else value
