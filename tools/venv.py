# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a virtual environment from a locked requirements file: `python3 -m tools.venv FOLDER LOCKFILE`.

Standard library only, since it runs before anything is installed. An environment whose stamp names the same lock and
the same Python is left as it is.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.shared import CACHE, ROOT, ToolError, finish, run

BOOTSTRAP = CACHE / "bootstrap"
# Settings of pip that name where packages come from, and what uv calls them: uv does not read pip's configuration.
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
# An activated environment's python3 stands first on PATH; what new environments are made with is the one below it.
BASE_PYTHON = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def stamp_text(folder: Path, lock: Path, python: str) -> str:
    """What an environment is made of, and where; it is made anew when this differs."""
    return f"{hashlib.sha256(lock.read_bytes()).hexdigest()} {lock.name}\n{python} {sys.version.split()[0]}\n{folder}\n"


def is_current(folder: Path, wanted: str) -> bool:
    """Whether the environment stands complete as `wanted`."""
    stamp = folder / "stamp"
    return stamp.exists() and stamp.read_text(encoding="utf-8") == wanted and (folder / "bin" / "python").exists()


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time work on the environment `name`."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def uv_environment() -> dict[str, str]:
    """Environment for uv, which carries over where this machine's pip gets packages from."""
    found = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    pip = str(BOOTSTRAP / "bin" / "pip")
    for line in run([pip, "config", "list"], "reading pip's configuration").splitlines():
        name, _, value = line.partition("=")
        setting = PIP_TO_UV.get(name.rpartition(".")[2])
        if setting and setting not in os.environ:
            found[setting] = " ".join(value.strip("'\"").replace("\\n", " ").split())
    return found


def uv_of_bootstrap() -> Path | None:
    """Path of uv, installed beside our environments; None where it cannot be had (pip does the work then)."""
    uv = BOOTSTRAP / "bin" / "uv"
    lock = ROOT / "requirements" / "bootstrap.txt"
    wanted = stamp_text(BOOTSTRAP, lock, BASE_PYTHON)
    with locked("bootstrap"):
        if uv.exists() and is_current(BOOTSTRAP, wanted):
            return uv
        run(
            [BASE_PYTHON, "-m", "venv", "--clear", str(BOOTSTRAP)],
            f"making {BOOTSTRAP} (on Debian it needs the package python3-venv: `make deps`)",
        )
        pip = str(BOOTSTRAP / "bin" / "pip")
        try:
            run([pip, "install", "--quiet", "--require-hashes", "-r", str(lock)], "installing uv")
        except ToolError as error:
            print(f"note: uv is not to be had here, pip installs in its place (slower)\n{error}", file=sys.stderr)
            return None
        (BOOTSTRAP / "stamp").write_text(wanted, encoding="utf-8")
    return uv


def install(folder: Path, lock: Path) -> None:
    """Fill the environment `folder` with exactly what `lock` names."""
    python = str(folder / "bin" / "python")
    uv = uv_of_bootstrap()
    purpose = f"installing {lock.name}"
    if uv:
        # uv does not compile on its own, and ansible's start is what everything here waits for.
        command = [str(uv), "pip", "sync", "--quiet", "--compile-bytecode", "--python", python, "--require-hashes"]
        try:
            run([*command, str(lock)], purpose, env=uv_environment())
        except ToolError as error:
            print(f"note: uv could not, pip tries in its place\n{error}", file=sys.stderr)
        else:
            return
    run([python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)], purpose)


def ensure(folder: Path, lock: Path, python: str = BASE_PYTHON) -> bool:
    """Make the environment `folder` hold `lock` under the interpreter `python`; tell whether there was work to do."""
    if not lock.is_file():
        raise ToolError(f"{lock}: no such requirements file (run this from the repository's root)")
    wanted = stamp_text(folder, lock, python)
    with locked(folder.name):
        if is_current(folder, wanted):
            return False
        print(f"{folder.name}: installing requirements/{lock.name} with {python} ...", flush=True)
        if (folder / "pyvenv.cfg").exists():
            shutil.rmtree(folder)
        run(
            [python, "-m", "venv", str(folder)],
            f"making {folder} (on Debian it needs the package python3-venv: `make deps`)",
        )
        install(folder, lock)
        (folder / "stamp").write_text(wanted, encoding="utf-8")
    return True


def main() -> int:
    """Command line; 0 when the environment is in place."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.venv", description=__doc__)
    parser.add_argument("folder", type=Path, help="the environment's folder")
    parser.add_argument("lock", type=Path, help="a locked requirements file with hashes")
    arguments = parser.parse_args()
    ensure(arguments.folder.absolute(), arguments.lock.absolute())
    return 0


if __name__ == "__main__":
    finish(main)
