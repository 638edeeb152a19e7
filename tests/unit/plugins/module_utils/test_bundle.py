# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that stays on a host: all that it needs, nothing else, and it runs without anything of ours beside it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from ansible_collections.netfleet.tcp.plugins.module_utils import _exporter_main, _revert_main
from ansible_collections.netfleet.tcp.plugins.module_utils._bundle import as_text, bundle, main_of, needed, own_sources

PACKAGE = "ansible_collections.netfleet.tcp.plugins.module_utils."


def test_what_is_needed_is_followed_from_import_to_import() -> None:
    sources = {
        PACKAGE + "_a": "from %s_b import (\n    X,\n)\n" % PACKAGE,
        PACKAGE + "_b": "def f():\n    from %s import _c, _d\n" % PACKAGE[:-1],
        PACKAGE + "_c": "from %s_a import Y\n" % PACKAGE,
        PACKAGE + "_d": "import os\n",
        PACKAGE + "_e": "",
    }
    assert set(needed(sources, PACKAGE + "_a")) == {PACKAGE + name for name in ("_a", "_b", "_c", "_d")}


def test_the_exporter_takes_along_what_it_imports_and_no_more() -> None:
    names = set(needed(own_sources(), _exporter_main.__name__))
    assert {PACKAGE + "_health", PACKAGE + "_recorded", PACKAGE + "_system"} <= names
    assert _revert_main.__name__ not in names
    assert PACKAGE + "_exporter_change" not in names


def test_it_runs_by_itself_and_says_what_is_missing(tmp_path: Path) -> None:
    program = tmp_path / "exporter.pyz"
    name = _exporter_main.__name__
    data = bundle(needed(own_sources(), name), main_of(name))
    assert data == bundle(needed(own_sources(), name), main_of(name))
    program.write_bytes(as_text(data).encode("utf-8", "surrogateescape"))
    done = subprocess.run(
        [sys.executable, "-I", str(program)], stderr=subprocess.PIPE, universal_newlines=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        "file: /var/lib/netfleet-tcp/exporter.json: cannot be read (run the playbook monitoring again)\n",
    )
    with zipfile.ZipFile(str(program)) as archive:
        assert "ansible_collections/netfleet/tcp/plugins/module_utils/_exporter_main.py" in archive.namelist()
