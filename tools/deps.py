# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the Debian packages that are missing: `python3 -m tools.deps requirements/debian.txt`.

Standard library only. Nothing is asked of apt, nor of sudo, where every package is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools.shared import ToolError, finish, run

# Packages whose programs are wanted and whose services are not, with the unit that would run them from now on.
UNITS = Path("/etc/systemd/system")
# Where else systemd finds units: one that is there before its package is the machine's own.
OTHER_UNITS = tuple(Path(place) / "systemd/system" for place in ("/run", "/usr/local/lib", "/usr/lib", "/lib"))
DAEMONS = {
    "prometheus": "prometheus.service",
    "prometheus-node-exporter": "prometheus-node-exporter.service",
}
# What packages ask whether they may start a service; 101 says no. Others write one that says the same: ours has a mark.
POLICY = Path("/usr/sbin/policy-rc.d")
NOTHING_STARTS = "#!/bin/sh\n# Of netfleet.tcp's tools.deps, which removes it.\nexit 101\n"


def wanted_packages(text: str) -> list[str]:
    """The packages that a list names: one a line, comments from # on."""
    names = (line.partition("#")[0].strip() for line in text.splitlines())
    return [name for name in names if name]


def missing_packages(wanted: list[str], dpkg_output: str) -> list[str]:
    """Those of `wanted` that dpkg-query's lines of "status package" do not call installed."""
    installed = {
        fields[1]
        for fields in (line.split() for line in dpkg_output.splitlines())
        if len(fields) == 2 and fields[0] == "ii"
    }
    return [name for name in wanted if name not in installed]


def query(packages: list[str]) -> str:
    """What dpkg knows of these packages; a package that it does not know is no error."""
    if not shutil.which("dpkg-query") or not shutil.which("apt-get"):
        raise ToolError(
            "this machine has no apt-get: install the counterparts of the packages in requirements/debian.txt by hand"
            " and start the next target (make venv, make lab-up, make test) by itself"
        )
    # dpkg-query exits with 1 when one package is unknown, which is exactly what is asked here.
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Package}\n", *packages]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def privileged() -> list[str]:
    """What to put before a command so that it runs as root."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        return ["sudo"]
    raise ToolError("neither root nor sudo: run `make deps` as root once, or install the packages named above by hand")


@contextlib.contextmanager
def without_services(packages: list[str]) -> Iterator[None]:
    """Have the services of DAEMONS among these packages start neither now nor at the next boot.

    They are masked, and stay so: `systemctl unmask UNIT` for whoever wants one.
    """
    units = [UNITS / unit for name, unit in DAEMONS.items() if name in packages]
    for unit in units:
        if not any(place.exists() or place.is_symlink() for place in (unit, *(at / unit.name for at in OTHER_UNITS))):
            run([*privileged(), "mkdir", "-p", str(UNITS)], f"making {UNITS}")
            run([*privileged(), "ln", "-s", "/dev/null", str(unit)], f"masking {unit.name}")
            print(
                f"deps: {unit.name} is masked: its programs are for the tests, and nothing runs by itself", flush=True
            )
    if POLICY.exists() and not _is_ours():
        yield
        return
    former = signal.signal(signal.SIGTERM, _asked_to_end)
    try:
        if units and not _is_ours():
            # A machine without systemd would start them by their init scripts.
            with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
                script.write(NOTHING_STARTS)
                script.flush()
                run([*privileged(), "install", "--mode=0755", script.name, str(POLICY)], f"writing {POLICY}")
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            remove_policy()
        finally:
            signal.signal(signal.SIGTERM, former)


def remove_policy() -> None:
    """Remove POLICY where it is ours: what this run wrote, or one that was killed."""
    if _is_ours():
        run([*privileged(), "rm", "-f", str(POLICY)], f"removing {POLICY}")


def _is_ours() -> bool:
    try:
        return POLICY.read_text(encoding="utf-8") == NOTHING_STARTS
    except (OSError, UnicodeDecodeError):
        return False


def _asked_to_end(_signal: int, _frame: object) -> None:
    raise ToolError("ended by SIGTERM; what is not installed yet is by the next `make deps`")


def main() -> int:
    """Command line; 0 when nothing is missing any more."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.deps", description=__doc__)
    parser.add_argument("list", type=Path, help="the list of packages")
    wanted = wanted_packages(parser.parse_args().list.read_text(encoding="utf-8"))
    missing = missing_packages(wanted, query(wanted))
    if not missing:
        remove_policy()
        return 0
    print(f"deps: installing {' '.join(missing)}", flush=True)
    apt = [*privileged(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2"]
    try:
        run([*apt, "update"], "apt-get update", show=True)
    except ToolError as error:
        # An unreachable third source must not stop what the others can give; what is really missing shows next.
        print(f"note: {error}", file=sys.stderr)
    with without_services(missing):
        run([*apt, "install", "--yes", "--no-install-recommends", *missing], "installing Debian packages", show=True)
    still = missing_packages(wanted, query(wanted))
    if still:
        raise ToolError(f"apt-get was content, yet dpkg does not call these installed: {' '.join(still)}")
    return 0


if __name__ == "__main__":
    finish(main)
