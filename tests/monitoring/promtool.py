# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that the role ships, and promtool, which runs them over series that a test makes up."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles" / "tcp_monitoring" / "files"
RULES = FILES / "netfleet-tcp.rules.yml"
# What a scrape adds to each series of a host.
HOST = {"job": "node", "instance": "web1:9100"}


def rules() -> list[dict[str, Any]]:
    """All rules, in their order."""
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerting rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def promtool(*arguments: str, stdin: str = "") -> str:
    """What promtool prints; AssertionError where it does not agree."""
    done = subprocess.run(
        ["promtool", *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    """A series of the host, a value a minute, as promtool writes them: 0+10x60 begins at 0, and grows 60 times."""
    pairs = ",".join(f"{key}={json.dumps(value)}" for key, value in {**HOST, **labels}.items())
    return {"series": f"{name}{{{pairs}}}", "values": values}


def run_test(folder: Path, **test: Any) -> None:
    """One test of promtool over the rules; AssertionError where what comes is not what is expected."""
    data = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [{"interval": "1m", **test}]}
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    promtool("test", "rules", str(file))
