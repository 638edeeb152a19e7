# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples as files: what their schemas and good practice demand, without running them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.ci.github import EXPRESSION, workflow
from tests.ci.gitlab import jobs, pipeline
from tests.ci.workspace import DOCS, described_files
from tools.shared import program

SCHEMAS = {"github-actions.yml": "vendor.github-workflows", "gitlab-ci.yml": "vendor.gitlab-ci"}


def refused(path: Path, schema: str) -> str:
    """What a schema says against a file; nothing if it fits."""
    command = [program("check-jsonschema"), "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode else ""


def steps() -> list[dict[str, Any]]:
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema(name: str) -> None:
    assert refused(DOCS / name, SCHEMAS[name]) == ""


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("github-actions.yml", "timeout-minutes:", "timeout-minute:"),
        ("github-actions.yml", "security-events: write", "security-events: yes please"),
        ("gitlab-ci.yml", "resource_group:", "resource_groups:"),
        ("gitlab-ci.yml", "when: always", "when: at night"),
    ],
)
def test_the_schemas_find_faults(tmp_path: Path, name: str, old: str, new: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new), encoding="utf-8")
    assert refused(tmp_path / name, SCHEMAS[name])


def test_which_event_starts_what() -> None:
    assert set(workflow()["on"]) == {"pull_request", "schedule", "workflow_dispatch"}
    assert jobs("merge_request_event") == ["lint", "change"]
    assert jobs("schedule") == jobs("web") == ["drift"]
    assert jobs("push") == []


def test_actions_are_pinned_and_tokens_small() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+(?:/[\w-]+)+@v\d+", name) for name in used)
    assert workflow()["permissions"] == {"contents": "read"}
    more = {name: set(job.get("permissions", {})) for name, job in workflow()["jobs"].items()}
    assert more == {
        "lint": set(),
        "change": {"contents", "pull-requests"},
        "drift": {"contents", "actions", "security-events"},
    }
    checkouts = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)


def test_nothing_that_others_write_gets_into_a_script() -> None:
    """An expression in `run:` is replaced before the shell reads it: a branch's name could be a command."""
    assert not [step["name"] for step in steps() if EXPRESSION.search(step.get("run", ""))]


def test_every_job_ends_and_does_not_run_beside_itself() -> None:
    assert all(int(job["timeout-minutes"]) <= 30 for job in workflow()["jobs"].values())
    assert workflow()["concurrency"]["group"]
    assert pipeline()["default"]["timeout"]
    assert pipeline()["drift"]["resource_group"]
    assert all(pipeline()[name]["interruptible"] for name in jobs("merge_request_event"))


def test_reports_are_kept_whatever_the_check_says() -> None:
    artifacts = pipeline()["drift"]["artifacts"]
    assert (artifacts["when"], artifacts["reports"]) == ("always", {"junit": "reports/drift.junit.xml"})
    kept = [step for step in workflow()["jobs"]["drift"]["steps"] if "upload" in step.get("uses", "")]
    assert len(kept) == 2
    assert all("!cancelled()" in step["if"] for step in kept)


def test_both_lint_alike() -> None:
    (github,) = [step["run"].splitlines() for step in workflow()["jobs"]["lint"]["steps"] if step.get("name") == "Lint"]
    assert github == pipeline()["lint"]["script"]


def test_the_page_shows_the_files_that_the_examples_need() -> None:
    assert set(described_files()) == {"ansible.cfg", "requirements.txt", "requirements.yml", ".gitignore", ".yamllint"}
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    for secret in re.findall(r"secrets\.(\w+)", (DOCS / "github-actions.yml").read_text(encoding="utf-8")):
        assert f"`{secret}`" in text
    for variable in ("ANSIBLE_PRIVATE_KEY_FILE", "ANSIBLE_VAULT_PASSWORD_FILE", "NOTE_TOKEN"):
        assert f"`{variable}`" in text
