# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import lzma
import subprocess
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.vm_initrd import Entry, build_initrd, cpio, load_order

# As in Debian's kernel: a line names all that a module needs, at first or second hand, the nearest first.
VIRTIO = "kernel/drivers/virtio"
DEP = f"""\
{VIRTIO}/virtio.ko: {VIRTIO}/virtio_ring.ko
{VIRTIO}/virtio_ring.ko:
{VIRTIO}/virtio_pci_modern_dev.ko:
{VIRTIO}/virtio_pci.ko: {VIRTIO}/virtio_pci_modern_dev.ko {VIRTIO}/virtio.ko {VIRTIO}/virtio_ring.ko
kernel/drivers/block/virtio_blk.ko.xz: {VIRTIO}/virtio.ko {VIRTIO}/virtio_ring.ko
"""
BUILTIN = "kernel/fs/ext4/ext4.ko\nkernel/net/virtio-net.ko\nkernel/drivers/char/hw_random/virtio-rng.ko\n"


def unpack(archive: bytes, directory: Path) -> None:
    command = ["busybox", "cpio", "-idm"]
    subprocess.run(command, input=archive, cwd=directory, check=True)


def test_modules_come_after_those_they_need() -> None:
    order = [Path(path).name for path in load_order(DEP, BUILTIN, ("virtio_pci", "virtio_blk", "ext4"))]
    assert order.index("virtio_ring.ko") < order.index("virtio.ko") < order.index("virtio_pci.ko")
    assert order[-1] == "virtio_blk.ko.xz"
    assert len(order) == len(set(order)) == 5


def test_a_kernel_without_the_module_is_refused() -> None:
    with pytest.raises(LabError, match="no module nvme"):
        load_order(DEP, BUILTIN, ("nvme",))


def test_cpio_reads_our_archive(tmp_path: Path) -> None:
    archive = cpio([Entry("init", 0o755, b"#!x"), Entry("a/b/c", 0o600, b"12345"), Entry("a/empty", 0o644, b"")])
    assert archive == cpio(
        [Entry("init", 0o755, b"#!x"), Entry("a/b/c", 0o600, b"12345"), Entry("a/empty", 0o644, b"")]
    )
    unpack(archive, tmp_path)
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a/b/c").read_bytes() == b"12345"
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a/empty").read_bytes() == b""
    assert (tmp_path / "a/b").is_dir()


def test_initrd_has_modules_unpacked_and_in_order(tmp_path: Path) -> None:
    modules, out = tmp_path / "modules", tmp_path / "out"
    out.mkdir()
    for line in DEP.splitlines():
        path = modules / line.split(":")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.name.encode()
        path.write_bytes(lzma.compress(text) if path.suffix == ".xz" else text)
    (modules / "modules.dep").write_text(DEP, encoding="utf-8")
    (modules / "modules.builtin").write_text(BUILTIN, encoding="utf-8")
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"box")
    unpack(gzip.decompress(build_initrd(modules, busybox)), out)
    order = (out / "modules/order").read_text(encoding="utf-8").split()
    assert order[-1] == "virtio_blk.ko"
    assert (out / "modules/virtio_blk.ko").read_bytes() == b"virtio_blk.ko.xz"
    assert (out / "bin/busybox").read_bytes() == b"box"
    checked = subprocess.run(["sh", "-n", str(out / "init")], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
