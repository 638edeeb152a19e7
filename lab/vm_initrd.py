# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small initrd of the virtual machines: busybox and the modules that find the disk."""

from __future__ import annotations

import gzip
import lzma
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.run import run

MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4")
PROBE_LINE = "netfleet-lab: the initrd runs"

# update-initramfs would make 30 MB that take seconds to unpack under emulation; this is 2 MB.
INIT = f"""#!/bin/busybox sh
PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox grep -q lab.probe /proc/cmdline && {{
  /bin/busybox echo "{PROBE_LINE}" > /dev/console
  /bin/busybox reboot -f
}}
while read -r module; do /bin/busybox insmod "/modules/$module"; done < /modules/order
read -r line < /proc/cmdline
root=${{line##*root=}}; root=${{root%% *}}
tries=0
while [ ! -b "$root" ] && [ $tries -lt 150 ]; do /bin/busybox usleep 20000; tries=$((tries + 1)); done
/bin/busybox mount -t ext4 -o rw,noatime "$root" /root || {{
  /bin/busybox echo "netfleet-lab: cannot mount the root filesystem $root" > /dev/console
  /bin/busybox poweroff -f
}}
/bin/busybox mount --move /dev /root/dev
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /lib/systemd/systemd
"""


@dataclass(frozen=True)
class Entry:
    """A file (or, without content, a directory) of a cpio archive."""

    name: str
    mode: int
    content: bytes | None = None


def with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """The entries with each missing parent directory in front, as the kernel needs it."""
    result: dict[str, Entry] = {}
    for entry in entries:
        parents = [str(parent) for parent in Path(entry.name).parents][:-1]
        for parent in reversed(parents):
            result.setdefault(parent, Entry(parent, 0o755))
        result[entry.name] = entry
    return list(result.values())


def cpio(entries: Iterable[Entry]) -> bytes:
    """A cpio archive in the "newc" format, owned by root and without times, so that equal input gives equal bytes."""
    output = bytearray()
    listed = [*with_parents(entries), Entry("TRAILER!!!", 0, b"")]
    for number, entry in enumerate(listed, start=1):
        content = entry.content or b""
        kind = stat.S_IFDIR if entry.content is None else stat.S_IFREG
        mode = kind | entry.mode if entry.mode else 0
        name = entry.name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        output += b"070701" + b"".join(f"{field:08X}".encode() for field in fields) + name
        output += b"\0" * (-len(output) % 4) + content
        output += b"\0" * (-len(output) % 4)
    return bytes(output)


def load_order(modules_dep: str, modules_builtin: str, wanted: Iterable[str]) -> list[str]:
    """The paths of the modules to load, each after those it needs.

    :raises LabError: the kernel neither has a module nor its code built in.
    """
    needs: dict[str, list[str]] = {}
    for line in modules_dep.splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {_name(path): path for path in needs}
    builtin = {_name(path) for path in modules_builtin.split()}
    order: list[str] = []
    for name in wanted:
        if name in by_name:
            # modules.dep lists what a module needs nearest first
            order += [path for path in [*reversed(needs[by_name[name]]), by_name[name]] if path not in order]
        elif name not in builtin:
            raise LabError(f"the guest's kernel has no module {name}; the lab cannot boot it")
    return order


def _name(path: str) -> str:
    return Path(path).name.split(".")[0].replace("-", "_")


def _read_module(path: Path) -> bytes:
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        plain = path.with_suffix("")
        run(["zstd", "-qdf", path, "-o", plain], what=f"unpacking {path.name}", hint="apt-get install zstd")
        return plain.read_bytes()
    return path.read_bytes()


def build_initrd(modules: Path, busybox: Path) -> bytes:
    """The initrd for the kernel whose modules lie in a directory (/lib/modules/VERSION of the guest)."""
    dep = (modules / "modules.dep").read_text(encoding="utf-8")
    order = load_order(dep, (modules / "modules.builtin").read_text(encoding="utf-8"), MODULES)
    names = [f"{_name(path)}.ko" for path in order]
    entries = [
        Entry("init", 0o755, INIT.encode()),
        Entry("bin/busybox", 0o755, busybox.read_bytes()),
        Entry("modules/order", 0o644, "".join(f"{name}\n" for name in names).encode()),
    ]
    entries += [
        Entry(f"modules/{name}", 0o644, _read_module(modules / path)) for name, path in zip(names, order, strict=True)
    ]
    return gzip.compress(cpio(entries), compresslevel=1, mtime=0)
