# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the jobs of docs/ci/gitlab-ci.yml as GitLab's runner does; knows the rules and keywords of that file alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.ci.workspace import DOCS, Ended, Machine

SOURCE = re.compile(r'\$CI_PIPELINE_SOURCE == "(\w+)"')
NOT_JOBS = ("variables", "default")


def pipeline() -> dict[str, Any]:
    """The file."""
    data = yaml.safe_load((DOCS / "gitlab-ci.yml").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def jobs(source: str) -> list[str]:
    """The jobs of a pipeline of that source."""
    found = []
    for name, job in pipeline().items():
        if name not in NOT_JOBS:
            matches = [SOURCE.fullmatch(rule["if"]) for rule in job["rules"]]
            assert all(matches), f"{name}: a rule of another form"
            found += [name] if source in [match.group(1) for match in matches if match] else []
    return found


class GitLab:
    """A runner and its server. The checkout is writable for all, as its runner leaves it."""

    def __init__(self, machine: Machine, variables: Mapping[str, str]) -> None:
        self.machine = machine
        self.variables = dict(variables)

    def run(self, name: str, source: str, project: Path, **variables: str) -> Ended:
        """Run a job to its end, in a checkout; keep its cache and its artifacts."""
        assert name in jobs(source)
        job, default = pipeline()[name], pipeline()["default"]
        project.chmod(0o777)
        if "cache" in job:
            self.machine.bring_back(project, f"cache-{job['cache']['key']['prefix']}")
        commands = "\n".join([*default["before_script"], *job["script"]])
        given = {key: str(value) for key, value in pipeline()["variables"].items()}
        done = self.machine.run(commands, project, {**given, **self.variables, **variables})
        self._keep(job, project, done.returncode)
        return Ended(done.returncode, done.stdout)

    def _keep(self, job: Mapping[str, Any], project: Path, status: int) -> None:
        cache, artifacts = job.get("cache"), job.get("artifacts")
        if cache and (not status or cache["when"] == "always"):
            present = [path for path in cache["paths"] if (project / path).exists()]
            self.machine.keep(project, f"cache-{cache['key']['prefix']}", present)
        if artifacts and (not status or artifacts.get("when") == "always"):
            reports = list(artifacts.get("reports", {}).values())
            present = [path for path in [*artifacts["paths"], *reports] if status == 0 or (project / path).exists()]
            self.machine.keep(project, "artifacts", [path for path in present if path not in reports])
            self.machine.keep(project, "reports", [path for path in present if path in reports])
