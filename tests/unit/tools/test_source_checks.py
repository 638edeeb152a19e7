# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from tools import source_checks

HEADER = f"# {source_checks.COPYRIGHT}\n# {source_checks.LICENCE}\n"
DOT = "."  # the hosts are put together here, since this file is a source too


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plugins/modules/qdisc.py", True),
        ("roles/tcp_tuning/templates/sysctl.conf.j2", True),
        ("Makefile", True),
        (".ci/run", True),
        ("LICENSE", False),
        ("docs/bench.md", False),
        ("changelogs/changelog.yaml", False),
        ("inventories/example/group_vars/all.yml", False),
        ("tests/unit/plugins/module_utils/fixtures/bookworm/sysctl.conf", False),
        ("tests/unit/plugins/module_utils/test_plan.py", True),
    ],
)
def test_which_files_need_a_header(name: str, expected: bool) -> None:
    assert source_checks.needs_header(name) is expected


def test_header_is_found_below_what_comes_first() -> None:
    assert source_checks.header_problem("#!/usr/bin/env bash\n---\n" + HEADER + "true\n") is None
    assert source_checks.header_problem("") is None


@pytest.mark.parametrize("text", ["x = 1\n", f"# {source_checks.COPYRIGHT}\n", "\n" * 20 + HEADER])
def test_lacking_header_is_told(text: str) -> None:
    problem = source_checks.header_problem(text + "end\n")
    assert problem is not None
    assert "SPDX-License-Identifier" in problem


@pytest.mark.parametrize("host", ["deb.debian", "ftp.de.debian", "security.debian", "pypi", "proxy.golang", "PyPI"])
def test_hosts_of_registries_are_found(host: str) -> None:
    text = f"first\nget https://{host}{DOT}org/simple/x\n"
    assert [number for number, _ in source_checks.registry_problems(text)] == [2]


def test_options_that_name_an_index_are_found() -> None:
    assert [found for _, found in source_checks.registry_problems("--index-url https://mirror.example/\n")] == [
        "--index-url"
    ]


def test_other_addresses_are_not_registries() -> None:
    text = (
        "https://www.debian.org/ https://docs.ansible.com/ https://www.kernel.org/doc/ PyPI gives it; pip --index-url\n"
    )
    assert list(source_checks.registry_problems(text)) == []


def test_this_repository_is_listed_by_git() -> None:
    names = {path.name for path in source_checks.source_files()}
    assert {"Makefile", "galaxy.yml", "source_checks.py"} <= names
