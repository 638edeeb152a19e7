# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image of a suite for virtual machines: a disk, a kernel and an initrd, made from the suite's tree.

An image has an ssh key pair of its own, which opens a copy of it until the copy has become a host with a key for that.
All copies of an image share its machine-id and its ssh host keys.
"""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import vm_guest
from lab.cache import Cache, digest
from lab.errors import LabError
from lab.run import Progress, run
from lab.ssh import ensure_key
from lab.tree import debian_tree, unpack
from lab.vm_initrd import INIT, MODULES, build_initrd

RECIPE = 1  # raise it when images must be made anew although nothing below changed
DISK_SIZE = "4G"
MKFS = ("mkfs.ext4", "-q", "-F", "-L", "root", "-m", "0", "-J", "size=16", "-E", "lazy_itable_init=0,nodiscard")
BUSYBOX = "busybox"


@dataclass(frozen=True)
class Image:
    """A finished image in the cache."""

    directory: Path
    suite: str
    kernel: str

    @property
    def disk(self) -> Path:
        """The disk, which overlays refer to and nobody writes."""
        return self.directory / "disk.qcow2"

    @property
    def vmlinuz(self) -> Path:
        """The kernel."""
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The initrd without the files of a host."""
        return self.directory / "initrd"

    @property
    def key(self) -> Path:
        """The private ssh key that opens a copy."""
        return self.directory / "id_ed25519"

    @classmethod
    def load(cls, directory: Path) -> Image:
        """The image that lies in a directory of the cache."""
        facts = json.loads((directory / "image.json").read_text(encoding="utf-8"))
        return cls(directory, facts["suite"], facts["kernel"])


def vm_image(suite: str, cache: Cache, progress: Progress) -> Image:
    """The image of a suite, from the cache or made now (some ten seconds beyond the tree)."""
    busybox = _busybox()
    tree = debian_tree(suite, cache, progress)
    recipe = {
        "recipe": RECIPE,
        "tree": tree.parent.name,
        "files": vm_guest.FILES,
        "directories": vm_guest.DIRECTORIES,
        "links": [vm_guest.REMOVED_LINKS, vm_guest.ADDED_LINKS],
        "masked": [vm_guest.MASKED_UNITS, vm_guest.MASKED_GENERATORS],
        "initrd": [INIT, MODULES, digest({"busybox": busybox.stat().st_size})],
        "disk": [DISK_SIZE, MKFS],
    }

    def build(directory: Path) -> None:
        with progress.step(suite, "making the disk and the initrd"), cache.scratch(f"root-{suite}") as root:
            unpack(tree, root, exclude=("./boot/initrd.img*",))
            kernel = _kernel_version(root, suite)
            customise(root)
            _make_keys(root, directory)
            (directory / "initrd").write_bytes(build_initrd(root / "lib/modules" / kernel, busybox))
            shutil.move(root / "boot" / f"vmlinuz-{kernel}", directory / "vmlinuz")
            _make_disk(root, directory)
            (directory / "in-use").touch()
            (directory / "image.json").write_text(json.dumps({"suite": suite, "kernel": kernel}), encoding="utf-8")

    return Image.load(cache.entry(f"vm-{suite}", recipe, build))


def customise(root: Path) -> None:
    """Turn a Debian tree into a guest that boots quickly under emulation and is otherwise as Debian installs it."""
    for path in vm_guest.REMOVED_LINKS:
        _inside(root, path).unlink(missing_ok=True)
    for path, text in vm_guest.FILES.items():
        place = _inside(root, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    for path, mode in vm_guest.DIRECTORIES.items():
        _inside(root, path).mkdir(parents=True, exist_ok=True)
        _inside(root, path).chmod(mode)
    links = dict(vm_guest.ADDED_LINKS)
    links |= {f"/etc/systemd/system/{unit}": "/dev/null" for unit in vm_guest.MASKED_UNITS}
    links |= {f"/etc/systemd/system-generators/{name}": "/dev/null" for name in vm_guest.MASKED_GENERATORS}
    for path, target in links.items():
        place = _inside(root, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(target)


def _make_keys(root: Path, directory: Path) -> None:
    """The image's own keys, and a machine-id: without one systemd would take each boot for the first."""
    public_key = ensure_key(directory / "id_ed25519")
    authorized = _inside(root, vm_guest.AUTHORIZED_KEYS)
    authorized.write_text(f"{public_key}\n", encoding="ascii")
    authorized.chmod(0o600)
    ensure_key(root / "etc/ssh/ssh_host_ed25519_key")
    (root / "etc/machine-id").write_text(f"{secrets.token_hex(16)}\n", encoding="ascii")


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _busybox() -> Path:
    found = shutil.which(BUSYBOX)
    if found is None:
        raise LabError("busybox is not installed; the lab's initrd needs it: apt-get install busybox-static")
    path = Path(found).resolve()
    if b"ld-linux" in path.read_bytes()[:4096]:
        raise LabError(f"{path} is linked dynamically and cannot run in an initrd; apt-get install busybox-static")
    return path


def _kernel_version(root: Path, suite: str) -> str:
    versions = sorted(path.name for path in (root / "lib/modules").iterdir() if (path / "modules.dep").exists())
    if len(versions) != 1:
        raise LabError(f"the {suite} tree has {len(versions)} kernels ({', '.join(versions)}) and must have one")
    return versions[0]


def _make_disk(root: Path, directory: Path) -> None:
    """A filesystem with the tree's content, without mounting anything."""
    raw = directory / "disk.raw"
    with raw.open("wb"):
        pass
    run(["truncate", "-s", DISK_SIZE, raw], what="making the disk")
    run([*MKFS, "-d", root, raw], what="making the disk's filesystem", hint="Is the disk full?")
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(directory / "disk.qcow2")]
    run(convert, what="converting the disk", hint="Is the disk full?")
    raw.unlink()
