# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples on the controller: one file a host, for its owner alone, and never somebody else's."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_samples import (
    keep_sample,
    make_directory,
    read_sample,
    sample_path,
)

SAMPLE = {"boot": "b", "netns": "net:[1]", "uptime": 5.0, "counters": {"TcpActiveOpens": 7}}


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Modes are what is asked for, whatever the umask allows."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Any) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    directory = str(tmp_path / "a" / "samples")
    make_directory(directory)
    assert read_sample(directory, "web1") == ({}, "")
    keep_sample(directory, "web1", {**SAMPLE, "uptime": 1.0})
    keep_sample(directory, "web1", SAMPLE)
    assert read_sample(directory, "web1") == (SAMPLE, "")
    assert (mode(directory), mode(sample_path(directory, "web1"))) == (0o700, 0o600)
    assert os.listdir(directory) == ["web1.json"], "nothing temporary is left"


@pytest.mark.parametrize("host", ["../../etc/passwd", ".hidden", "a/b", "..", "[2001:db8::1]", "a b\n", "ü"])
def test_a_name_leads_nowhere_else(tmp_path: Path, host: str) -> None:
    keep_sample(str(tmp_path), host, SAMPLE)
    assert read_sample(str(tmp_path), host)[0] == SAMPLE
    assert [path.parent for path in tmp_path.rglob("*")] == [tmp_path]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        json.dumps({"format": 2, "host": "web1", "sample": SAMPLE}),
        json.dumps({"format": 1, "host": "web2", "sample": SAMPLE}),
        json.dumps({"format": 1, "host": "web1", "sample": {**SAMPLE, "counters": {"a": "b"}}}),
        json.dumps({"format": 1, "host": "web1", "sample": {"boot": "b"}}),
        json.dumps({"format": 1, "host": "web1"}),
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_sample_of_the_host_is_not_used_and_that_is_said(tmp_path: Path, text: str) -> None:
    Path(sample_path(str(tmp_path), "web1")).write_text(text, encoding="utf-8")
    sample, why = read_sample(str(tmp_path), "web1")
    assert sample == {}
    assert why.startswith(str(tmp_path / "web1.json: "))


def test_where_nothing_can_be_kept_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for attempt in (
        lambda: make_directory(str(tmp_path / "file")),
        lambda: keep_sample(str(tmp_path / "none"), "web1", SAMPLE),
    ):
        with pytest.raises(InputError) as caught:
            attempt()
        assert caught.value.problems[0].path == "tcp_health_samples"
