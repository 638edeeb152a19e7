# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The built collection is unpacked by each Python that the tools run on."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from tools import artifact


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """An archive as ansible-galaxy builds one, of a single file."""
    (tmp_path / "README.md").write_text("read me", encoding="utf-8")
    path = tmp_path / "netfleet-tcp-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "README.md", "README.md")
    return path


def test_it_is_unpacked_where_ansible_finds_it(built: Path, tmp_path: Path) -> None:
    found = artifact.unpack(built, tmp_path / "collections")
    assert found == tmp_path / "collections" / "ansible_collections" / "netfleet" / "tcp"
    assert (found / "README.md").read_text(encoding="utf-8") == "read me"


def test_a_python_without_filters_unpacks_it_too(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extract = tarfile.TarFile.extractall

    def as_in_3_11_2(archive: tarfile.TarFile, path: Any = ".") -> None:
        extract(archive, path)

    monkeypatch.setattr(tarfile.TarFile, "extractall", as_in_3_11_2)
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    assert (artifact.unpack(built, tmp_path / "collections") / "README.md").exists()
