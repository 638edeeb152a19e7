# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what each task said of each host to the file that NETFLEET_TEST_RESULTS names, for the tests to read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kept_results
type: aggregate
short_description: Keeps results as JSON
description: [Keeps what each task said of each host as JSON.]
"""


class CallbackModule(CallbackBase):
    """One entry for each host and task."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kept_results"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[dict[str, Any]] = []

    def _keep(self, result: Any, status: str) -> None:
        task = result.task.action
        self._entries.append({"host": result.host.get_name(), "task": task, "status": status, **dict(result.result)})

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task that went well."""
        self._keep(result, "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002
        """A task that failed."""
        self._keep(result, "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host that could not be asked."""
        self._keep(result, "unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002
        """Write them."""
        Path(os.environ["NETFLEET_TEST_RESULTS"]).write_text(json.dumps(self._entries, default=str), encoding="utf-8")
