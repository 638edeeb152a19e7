# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from lab import container_image
from lab.container_image import image_archive, tag

TREE = {
    "./etc/hostname": b"tree\n",
    "./etc/fstab": b"/dev/vda1 / ext4\n",
    "./boot/vmlinuz-6.1": b"kernel",
    "./usr/lib/modules/6.1/tcp_bbr.ko": b"module",
    "./usr/bin/tool": bytes(range(256)) * 300,
}
CAPABILITY = "SCHILY.xattr.security.capability"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree-bookworm-0123" / "tree.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in TREE.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.uid = len(data), 0o750, 42
            if name.endswith("tool"):
                member.pax_headers = {CAPABILITY: b"\x01\x00\x00\x02\xff".decode("utf-8", "surrogateescape")}
            archive.addfile(member, io.BytesIO(data))
    return path


def unpacked(tree: Path) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(b"".join(image_archive(tree))))


def test_the_image_is_the_tree_without_its_kernel(tree: Path) -> None:
    image = unpacked(tree)
    names = [name.removeprefix("./") for name in image.getnames()]
    assert "usr/bin/tool" in names
    assert "boot/vmlinuz-6.1" not in names
    assert not [name for name in names if "lib/modules/" in name]
    assert len(names) == len(set(names)), "a file stands twice in the archive"


def test_files_keep_content_owner_mode_and_capability(tree: Path) -> None:
    image = unpacked(tree)
    tool = image.getmember("./usr/bin/tool")
    content = image.extractfile(tool)
    assert content is not None
    assert content.read() == TREE["./usr/bin/tool"]
    assert (tool.uid, tool.mode) == (42, 0o750)
    assert tool.pax_headers[CAPABILITY].encode("utf-8", "surrogateescape") == b"\x01\x00\x00\x02\xff"


def test_our_files_replace_those_of_the_tree(tree: Path) -> None:
    image = unpacked(tree)
    assert image.getmember("./etc/fstab").size == 0
    mask = image.getmember("./etc/systemd/system/apt-daily.timer")
    assert (mask.issym(), mask.linkname) == (True, "/dev/null")


def test_the_tag_changes_with_tree_and_recipe(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tag("bookworm", tree)
    assert first.startswith("localhost/netfleet-lab:bookworm-")
    assert tag("bookworm", tree) == first
    assert tag("bookworm", Path("/elsewhere/tree-bookworm-4567/tree.tar")) != first
    monkeypatch.setattr(container_image, "MASKED", ())
    assert tag("bookworm", tree) != first
