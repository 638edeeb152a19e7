# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of both examples, run in a user's repository on two hosts of the lab."""

from __future__ import annotations

import http.server
import json
import stat
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ci.conftest import FAST_OPEN_KEY, VAULT_PASSWORD, Fleet, hosts_file
from tests.ci.github import GitHub
from tests.ci.gitlab import GitLab
from tests.ci.workspace import Machine, Repository

KEY = "net.ipv4.tcp_mtu_probing"
DECLARED, CHANGED = 1, 0
NOTE_TOKEN = "note-token-0815"
SLOWER = {"group_vars/local.yml": "---\ntcp_tuning_bandwidth: 100Mbit\ntcp_tuning_rtt: 10ms\n"}
GH = """\
{ printf '%s\\n' "$@"; cat rendered/change.md; } > "$TMPDIR/gh-said"
"""


@pytest.fixture(scope="module")
def github(machine: Machine, secrets: dict[str, str]) -> GitHub:
    machine.stand_in("gh", GH)
    return GitHub(machine, secrets)


@pytest.fixture(scope="module")
def gitlab(machine: Machine, secrets: dict[str, str]) -> GitLab:
    """Variables of type File: the runner writes them, for all to read."""
    files = {
        "ANSIBLE_PRIVATE_KEY_FILE": secrets["SSH_PRIVATE_KEY"],
        "ANSIBLE_VAULT_PASSWORD_FILE": secrets["VAULT_PASSWORD"],
    }
    for name, text in files.items():
        (machine.folder / name).write_text(text + "\n", encoding="utf-8")
        (machine.folder / name).chmod(0o666)
    return GitLab(machine, {name: str(machine.folder / name) for name in files})


class Notes(http.server.BaseHTTPRequestHandler):
    """Stands for GitLab's interface: keeps what is posted."""

    posted: list[tuple[str, str, str]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        text = urllib.parse.parse_qs(body)["body"][0]
        Notes.posted.append((self.path, self.headers["PRIVATE-TOKEN"], text))
        self.send_response(201)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def notes() -> Iterator[str]:
    """The address of that interface."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Notes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api/v4"
    server.shutdown()
    server.server_close()


def report(machine: Machine, where: str) -> dict[str, Any]:
    """The JSON report that was kept."""
    data = json.loads((machine.kept / where / "reports" / "drift.json").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def check_change(text: str) -> None:
    """What the change of SLOWER is to say: of the one host that it concerns, both buffers, old and new."""
    assert text.startswith("### What hosts would get\n\n 1 file changed, ")
    lines = text.splitlines()
    assert "~~~~~~diff" in lines
    assert [line for line in lines if line.startswith("+net.core.rmem_max = ")]
    assert [line for line in lines if line.startswith("-net.core.rmem_max = ")]
    assert "after/local1/etc/sysctl.d/90-netfleet-tcp.conf" in text
    assert "cloud2" not in text


def test_github_lint(github: GitHub, machine: Machine, repository: Repository) -> None:
    assert github.jobs("pull_request") == ["lint", "change"]
    good = github.run("lint", "pull_request", machine.checkout(repository, "main"))
    assert good.status == 0, good.output
    _head, merged = repository.merge_request("main", {"group_vars/all.yml": "---\na:   1\n"})
    bad = github.run("lint", "pull_request", machine.checkout(repository, merged))
    assert bad.status
    assert "too many spaces" in bad.output


def test_github_change(github: GitHub, machine: Machine, repository: Repository) -> None:
    _head, merged = repository.merge_request("main", SLOWER)
    ended = github.run("change", "pull_request", machine.checkout(repository, merged))
    assert ended.status == 0, ended.output
    check_change(github.summary)
    said = (machine.folder / "gh-said").read_text(encoding="utf-8")
    options = "pr comment 17 --body-file rendered/change.md --edit-last --create-if-none"
    assert said == "\n".join([*options.split(), github.summary])
    kept = machine.kept / "artifact-rendered" / "rendered"
    assert {path.name for path in (kept / "after").iterdir()} == {"local1", "cloud2"}
    assert "<secret net.ipv4.tcp_fastopen_key>" in "".join(text for _name, text in machine.told())


def test_github_nights(github: GitHub, machine: Machine, tuned: Repository, fleet: Fleet) -> None:
    assert github.jobs("schedule") == github.jobs("workflow_dispatch") == ["drift"]

    def night(commit: str = "main") -> tuple[int, str]:
        ended = github.run("drift", "schedule", machine.checkout(tuned, commit))
        return ended.status, ended.output

    status, output = night()
    assert status == 0, output
    assert report(machine, "artifact-drift")["comparison"] is None
    assert not {"ssh-key", "vault-password"} & {path.name for path in github.temporary.iterdir()}

    fleet.sysctl(KEY, CHANGED)
    status, output = night()
    fleet.sysctl(KEY, DECLARED)
    assert status == 2, output
    assert "::error::drift: see the summary" in output
    assert KEY in github.summary
    new = report(machine, "artifact-drift")["comparison"]["new"]
    assert {(entry["host"], entry["key"]) for entry in new} == {(name, KEY) for name in fleet.hosts}
    sarif = json.loads((machine.kept / "sarif-netfleet-drift/reports/drift.sarif").read_text(encoding="utf-8"))
    assert sarif["version"] == "2.1.0"
    assert (machine.kept / "artifact-drift/reports/drift.html").stat().st_size > 1000

    lost = tuned.commit({"hosts.yml": hosts_file({**fleet.addresses, "cloud9": "127.0.0.1, ansible_port: 9"})})
    status, output = night(lost)
    assert status == 4, output
    assert "::error::some hosts could not be asked" in output
    data = report(machine, "artifact-drift")
    assert {host["name"] for host in data["hosts"] if host["status"] == "unreachable"} == {"cloud9"}
    assert {entry["host"] for entry in data["comparison"]["gone"]} == set(fleet.hosts)

    status, output = night(tuned.commit({"hosts.yml": "all: [\n"}))
    tuned.commit({"hosts.yml": hosts_file(fleet.addresses)})
    assert status == 1, output
    assert "::error::the check did not run" in output


def test_gitlab_change(gitlab: GitLab, machine: Machine, repository: Repository, notes: str) -> None:
    base = repository.git("rev-parse", "main")
    head, _merged = repository.merge_request(base, SLOWER)
    variables = {
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
        "CI_API_V4_URL": notes,
        "CI_PROJECT_ID": "42",
        "CI_MERGE_REQUEST_IID": "7",
        "NOTE_TOKEN": NOTE_TOKEN,
    }
    project = machine.checkout(repository, head)
    ended = gitlab.run("change", "merge_request_event", project, **variables)
    assert ended.status == 0, ended.output
    path, token, text = Notes.posted[-1]
    assert (path, token) == ("/api/v4/projects/42/merge_requests/7/notes", NOTE_TOKEN)
    check_change(text)
    assert (machine.kept / "artifacts/rendered/change.md").read_text(encoding="utf-8") == text


def test_gitlab_first_change(gitlab: GitLab, machine: Machine, repository: Repository) -> None:
    """Where the base has no inventory yet, all is new."""
    first = repository.git("rev-list", "--max-parents=0", "main")
    empty = repository.git(
        "commit-tree", "-m", "nothing", repository.git("hash-object", "-t", "tree", "/dev/null", "-w")
    )
    project = machine.checkout(repository, first)
    ended = gitlab.run("change", "merge_request_event", project, CI_MERGE_REQUEST_DIFF_BASE_SHA=empty)
    assert ended.status == 0, ended.output
    assert "The base cannot be rendered" in ended.output
    assert ended.output.count("new file mode") >= 4


def test_gitlab_nights(gitlab: GitLab, machine: Machine, tuned: Repository, fleet: Fleet) -> None:
    def night(commit: str = "main") -> tuple[int, str]:
        ended = gitlab.run("drift", "schedule", machine.checkout(tuned, commit))
        return ended.status, ended.output

    status, output = night()
    assert status == 0, output
    assert (machine.folder / "ANSIBLE_PRIVATE_KEY_FILE").stat().st_mode & 0o077 == 0

    fleet.sysctl(KEY, CHANGED)
    status, output = night()
    fleet.sysctl(KEY, DECLARED)
    assert status == 2, output
    assert "Drift: see the report." in output
    assert len(report(machine, "artifacts")["comparison"]["new"]) == len(fleet.hosts)
    junit = (machine.kept / "reports/reports/drift.junit.xml").read_text(encoding="utf-8")
    assert KEY in junit

    lost = tuned.commit({"hosts.yml": hosts_file({**fleet.addresses, "cloud9": "127.0.0.1, ansible_port: 9"})})
    status, output = night(lost)
    tuned.commit({"hosts.yml": hosts_file(fleet.addresses)})
    assert status == 4, output
    assert "Some hosts could not be asked" in output


def test_secrets_are_in_private_files(
    github: GitHub, machine: Machine, secrets: dict[str, str], tmp_path: Path
) -> None:
    """The step alone: under the most open umask, each file is for its owner alone."""
    (step,) = [entry for entry in _steps("drift") if entry.get("name", "").startswith("Put the secrets")]
    place = {"RUNNER_TEMP": str(tmp_path), "GITHUB_ENV": str(tmp_path / "env")}
    done = machine.run(step["run"], tmp_path, {**place, **secrets})
    assert (done.returncode, done.stdout) == (0, "")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.name != "env"}
    assert modes == {"ssh-key": 0o600, "vault-password": 0o600}
    assert github.context["secrets.VAULT_PASSWORD"] == (tmp_path / "vault-password").read_text().strip()


def _steps(job: str) -> list[dict[str, Any]]:
    from tests.ci.github import workflow

    found: list[dict[str, Any]] = workflow()["jobs"][job]["steps"]
    return found


def test_no_secret_left_the_machine(machine: Machine, secrets: dict[str, str]) -> None:
    """The last test: what all the jobs before it printed and uploaded."""
    hidden = [VAULT_PASSWORD, FAST_OPEN_KEY, *FAST_OPEN_KEY.split("-"), NOTE_TOKEN]
    hidden += [line for line in secrets["SSH_PRIVATE_KEY"].splitlines() if not line.startswith("-----")]
    told = dict(machine.told())
    assert len(told) > 10
    assert len(hidden) > 8
    assert not [(name, word) for name, text in told.items() for word in hidden if word in text]
