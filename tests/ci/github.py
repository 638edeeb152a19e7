# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the jobs of docs/ci/github-actions.yml: each `run:` for real, each `uses:` by what it does to the checkout.

Understands what that file contains and nothing else: an expression, action or condition that it does not know fails.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.ci.workspace import DOCS, Ended, Machine

EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
HASH = re.compile(r"hashFiles\('([^']+)'\)")
FILES = ("GITHUB_ENV", "GITHUB_STEP_SUMMARY")


def workflow() -> dict[str, Any]:
    """The file, every scalar as text (YAML 1.1 would read the key `on` as true)."""
    data = yaml.load((DOCS / "github-actions.yml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert isinstance(data, dict)
    return data


class GitHub:
    """A runner and its server."""

    def __init__(self, machine: Machine, secrets: Mapping[str, str]) -> None:
        self.machine = machine
        self.context = {f"secrets.{name}": value for name, value in secrets.items()}
        self.context |= {
            "github.workflow": "netfleet",
            "github.ref": "refs/heads/main",
            "github.repository": "acme/fleet",
            "github.token": "job-token-4711",
            "github.event.pull_request.number": "17",
            "github.event.pull_request.head.repo.full_name": "acme/fleet",
        }
        self.project = Path()
        self.number = 0

    @property
    def temporary(self) -> Path:
        """RUNNER_TEMP."""
        return self.machine.folder / "runner-temp"

    @property
    def summary(self) -> str:
        """What the last job wrote into its summary."""
        return (self.temporary / "GITHUB_STEP_SUMMARY").read_text(encoding="utf-8")

    def jobs(self, event: str) -> list[str]:
        """The jobs that an event starts."""
        self.context["github.event_name"] = event
        return [name for name, job in workflow()["jobs"].items() if self.holds(job.get("if", ""), failed=False)]

    def run(self, name: str, event: str, project: Path) -> Ended:
        """Run a job to its end, in a checkout."""
        assert name in self.jobs(event)
        self.number += 1
        self.context["github.run_id"] = str(self.number)
        self.project = project
        self.temporary.mkdir(exist_ok=True)
        for file in FILES:
            (self.temporary / file).write_text("", encoding="utf-8")
        ended = Ended()
        for step in workflow()["jobs"][name]["steps"]:
            if self.holds(step.get("if", ""), failed=bool(ended.status)):
                self.perform(step, ended)
        return ended

    def perform(self, step: Mapping[str, Any], ended: Ended) -> None:
        """One step."""
        values = {key: self.fill(value) for key, value in step.get("with", {}).items()}
        if "uses" in step:
            ACTIONS[step["uses"].partition("@")[0]](self, values)
            return
        own = {key: self.fill(value) for key, value in {**workflow()["env"], **step.get("env", {})}.items()}
        runner = {file: str(self.temporary / file) for file in FILES} | {"RUNNER_TEMP": str(self.temporary)}
        done = self.machine.run(step["run"], self.project, {**runner, **ended.variables, **own})
        lines = (self.temporary / "GITHUB_ENV").read_text(encoding="utf-8").splitlines()
        ended.variables = dict(line.split("=", 1) for line in lines)
        ended.output += f"--- {step['name']}\n{done.stdout}"
        ended.status = ended.status or done.returncode

    def fill(self, text: str) -> str:
        """A text with the values of its expressions."""
        return EXPRESSION.sub(lambda match: self.value(match.group(1)), text)

    def value(self, expression: str) -> str:
        """A literal, a hash of files, or a value of the context; none is empty."""
        if expression.startswith("'"):
            return expression.strip("'")
        hashed = HASH.fullmatch(expression)
        if hashed:
            path = self.project / hashed.group(1)
            return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
        if expression.startswith("secrets."):
            return self.context.get(expression, "")
        return self.context[expression]

    def holds(self, condition: str, failed: bool) -> bool:
        """Whether a condition of a job or a step holds."""
        terms = self.fill_condition(condition)
        in_any_case = any(term in ("always()", "!cancelled()") for term in terms)
        return (in_any_case or not failed) and all(self.compare(term) for term in terms)

    def fill_condition(self, condition: str) -> list[str]:
        """The terms of a condition."""
        bare = EXPRESSION.sub(lambda match: match.group(1), condition)
        return [term.strip() for term in bare.split("&&") if term.strip()]

    def compare(self, term: str) -> bool:
        """Whether one term holds."""
        if term in ("always()", "!cancelled()"):
            return True
        left, operator, right = re.split(r"\s*(==|!=)\s*", term)
        return (self.value(left) == self.value(right)) == (operator == "==")

    def restore(self, values: Mapping[str, str]) -> None:
        """actions/cache/restore: the newest cache of that prefix."""
        found = [path.name for path in self.machine.kept.glob(f"cache-{values['restore-keys']}*")]
        if found:
            newest = max(found, key=lambda name: int(name.rpartition("-")[2]))
            self.machine.bring_back(self.project, newest)

    def save(self, values: Mapping[str, str]) -> None:
        """actions/cache/save."""
        self.machine.keep(self.project, f"cache-{values['key']}", [values["path"]])

    def upload(self, values: Mapping[str, str]) -> None:
        """actions/upload-artifact."""
        self.machine.keep(self.project, f"artifact-{values['name']}", [values["path"]])

    def upload_sarif(self, values: Mapping[str, str]) -> None:
        """github/codeql-action/upload-sarif."""
        self.machine.keep(self.project, f"sarif-{values['category']}", [values["sarif_file"]])


def _nothing(_server: GitHub, _values: Mapping[str, str]) -> None:
    """The checkout and the Python are there."""


ACTIONS: dict[str, Callable[[GitHub, Mapping[str, str]], None]] = {
    "actions/checkout": _nothing,
    "actions/setup-python": _nothing,
    "actions/cache/restore": GitHub.restore,
    "actions/cache/save": GitHub.save,
    "actions/upload-artifact": GitHub.upload,
    "github/codeql-action/upload-sarif": GitHub.upload_sarif,
}
