# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether virtual machines can use KVM: /dev/kvm alone proves nothing, so a kernel is booted for a moment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab.errors import LabError
from lab.paths import make_directory
from lab.run import Progress
from lab.vm_image import Image
from lab.vm_initrd import PROBE_LINE
from lab.vm_qemu import ACCELERATORS, KERNEL_OPTIONS, machine_argv

PROBE_SECONDS = 6  # a working KVM takes about one
ANSWER = "accelerator.json"


def choose_accelerator(image: Image, cache_dir: Path, progress: Progress, env: Mapping[str, str]) -> str:
    """Either kvm or tcg, as NETFLEET_LAB_ACCEL says, or a probe whose answer holds until the machine boots again."""
    wanted = env.get("NETFLEET_LAB_ACCEL")
    if wanted:
        if wanted not in ACCELERATORS:
            raise LabError(f"NETFLEET_LAB_ACCEL={wanted!r}: choose one of {', '.join(sorted(ACCELERATORS))}")
        return wanted
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    path = cache_dir / ANSWER
    known = _read(path)
    if known.get("boot") == boot and known.get("accelerator") in ACCELERATORS:
        return known["accelerator"]
    with progress.step("qemu", "trying whether KVM boots a guest"):
        works = kvm_boots(image)
    accelerator = "kvm" if works else "tcg"
    if not works:
        progress.line("  qemu       /dev/kvm is there but does not boot a guest: emulating (slower, same results)")
    make_directory(cache_dir)
    path.write_text(json.dumps({"boot": boot, "accelerator": accelerator}), encoding="utf-8")
    return accelerator


def kvm_boots(image: Image, seconds: float = PROBE_SECONDS) -> bool:
    """Boot the image's kernel and initrd under KVM and wait for the initrd's line on the console."""
    append = " ".join([*KERNEL_OPTIONS, "lab.probe"])
    argv = [*machine_argv("kvm"), "-m", "256", "-serial", "stdio", "-monitor", "none", "-kernel", str(image.vmlinuz)]
    argv += ["-initrd", str(image.initrd), "-append", append]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return False
    except FileNotFoundError as error:
        raise LabError("qemu-system-x86_64 is not installed: apt-get install qemu-system-x86 qemu-utils") from error
    return PROBE_LINE in done.stdout


def _read(path: Path) -> dict[str, str]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
