# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the role's variables in their types. Runs on the controller alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem

PREFIX = "tcp_tuning_"


def typed(
    specification: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any], prefix: str = PREFIX
) -> Dict[str, Any]:
    """The values, with defaults; InputError with every problem, named as the role's variables are.

    specification: as of a module, by the names of the variables without their prefix, as those of given.
    """
    named = {prefix + name: dict(option) for name, option in specification.items()}
    checked = ArgumentSpecValidator(named).validate({prefix + str(name): value for name, value in given.items()})
    if checked.error_messages:
        raise InputError(Problem("", message) for message in checked.error_messages)
    return {name: checked.validated_parameters[prefix + name] for name in specification}
