# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._call import check_call


@pytest.mark.parametrize(
    ("report", "tags"),
    [
        ({}, ["all"]),
        ({"threshold": "", "formats": [], "directory": ""}, []),
        ({"threshold": "note", "formats": ["json", "html"]}, ["sysctl", "congestion_control", "file"]),
        ({"formats": "html"}, ["always", "tagged"]),
        ({"formats": "html, json"}, ["nightly", "netfleet"]),
    ],
)
def test_what_can_be_meant(report: dict[str, Any], tags: list[str]) -> None:
    check_call(report, tags)


@pytest.mark.parametrize(
    ("report", "tags", "said"),
    [
        ({"threshold": "warn"}, [], "tcp_drift_threshold: 'warn' is none (one of: note, warning, error)"),
        ({"formats": ["json", "pdf"]}, [], "tcp_drift_formats: 'pdf' is none"),
        ({"formats": "pdf"}, [], "tcp_drift_formats: 'pdf' is none"),
        ({}, ["flie"], "--tags: there is no subject flie (did you mean file?)"),
        ({}, ["sysctl", "sysctls"], "did you mean sysctl?"),
    ],
)
def test_what_cannot(report: dict[str, Any], tags: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_call(report, tags)
    assert said in str(caught.value)


def test_reports_need_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "afile"
    check_call({"directory": str(path)}, [])
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"tcp_drift_directory: .*afile is a file"):
        check_call({"directory": str(path)}, [])


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        check_call({"threshold": "x", "formats": ["y"]}, ["qdsic"])
    assert len(caught.value.problems) == 3
