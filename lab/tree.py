# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian tree of a suite, made once with mmdebstrap and kept as a tar archive for both backends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.cache import Cache
from lab.run import Progress, run
from lab.suites import KNOWN, Suite

RECIPE = 1  # raise it when the tree must be made anew although nothing below changed
ARCHIVE = "tree.tar"

# We boot with an initrd of our own, so the minute that update-initramfs takes under `chroot` would be lost.
HOOKS = (
    'mkdir -p "$1/etc/initramfs-tools"',
    'echo update_initramfs=no > "$1/etc/initramfs-tools/update-initramfs.conf"',
    'echo do_symlinks=no > "$1/etc/kernel-img.conf"',
)
NO_SECURITY_HOOK = 'sed -i /security/d "$1/etc/apt/sources.list"'
APT_OPTIONS = (
    'Acquire::Languages "none"',
    'APT::Install-Recommends "false"',
    # Mirrors that lag, and archived suites, have a Release file past its date; hosts of the lab are thrown away.
    'Acquire::Check-Valid-Until "false"',
    "Acquire::Retries 3",
)
DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "force-unsafe-io",
    "force-confold",  # a question about the configuration file that a hook wrote would stop the build
)


def mmdebstrap_argv(suite: Suite, archive: Path) -> list[str]:
    """The command that makes the tree; the mirror is mmdebstrap's and apt's own choice."""
    argv = ["mmdebstrap", "--mode=root", "--variant=apt", "--format=tar", f"--include={','.join(suite.packages)}"]
    argv += [f"--setup-hook={NO_SECURITY_HOOK}"] if suite.archived else []
    argv += [f"--essential-hook={hook}" for hook in HOOKS]
    argv += [f'--customize-hook=systemctl --root="$1" --quiet disable {unit}' for unit in suite.disabled]
    argv += [f"--aptopt={option}" for option in APT_OPTIONS]
    argv += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    return [*argv, suite.name, str(archive)]


def debian_tree(suite: str, cache: Cache, progress: Progress) -> Path:
    """The tar archive of a suite's tree, from the cache or made now (about a minute).

    The path of the archive is new whenever its recipe changes, so its directory's name serves as part of other keys.
    """
    data = KNOWN[suite]
    recipe = {"recipe": RECIPE, "argv": mmdebstrap_argv(data, Path(ARCHIVE))}

    def build(directory: Path) -> None:
        with progress.step(
            suite, f"{data.release}: installing {len(data.packages)} packages into a tree", announce=True
        ):
            run(
                mmdebstrap_argv(data, directory / ARCHIVE),
                what=f"building the {suite} tree",
                hint="Debian's mirror must be reachable; look at the lines above, then run the same command again.",
                env={"TMPDIR": str(directory.parent)},
            )

    return cache.entry(f"tree-{suite}", recipe, build) / ARCHIVE


def unpack(archive: Path, directory: Path, exclude: Sequence[str] = ()) -> None:
    """Unpack a tree into a directory; `exclude` holds patterns of tar for what to leave out."""
    run(
        ["tar", "-C", directory, "--numeric-owner", *[f"--exclude={pattern}" for pattern in exclude], "-xf", archive],
        what=f"unpacking {archive}",
        hint="If the archive is damaged, run `python -m lab clean-cache` and try again.",
    )
