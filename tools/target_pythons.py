# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on managed hosts, under each Python from 3.8 on that is found: `python -m tools.target_pythons`.

Modules and module_utils are compiled, the module_utils are imported, and their unit tests run, with nothing beside
the standard library and ansible-core's own module_utils to import from.
"""

from __future__ import annotations

import os

from tools import interpreters, venv
from tools.shared import CACHE, COLLECTIONS, ROOT, VENV, SkippedError, ToolError, clean_environment, finish, run

SUPPORTED = [(3, minor) for minor in range(8, 15)]
PLUGINS = ROOT / "plugins"
TESTS = ROOT / "tests" / "unit" / "plugins" / "module_utils"
IMPORTS = CACHE / "target-imports"

# Runs under the oldest supported Python too.
COMPILE_AND_IMPORT = """
import importlib, io, sys
names, files = sys.argv[1].split(","), sys.argv[2:]
for name in files:
    with io.open(name, encoding="utf-8") as source:
        compile(source.read(), name, "exec")
for name in names:
    importlib.import_module("ansible_collections.netfleet.tcp.plugins.module_utils." + name)
"""


def import_path() -> str:
    """PYTHONPATH of a module on a host: the collection, and of ansible-core nothing but module_utils."""
    stub = IMPORTS / "ansible"
    stub.mkdir(parents=True, exist_ok=True)
    (stub / "__init__.py").write_text("", encoding="utf-8")
    real = next(VENV.glob("lib/python3*/site-packages/ansible/module_utils"), None)
    if real is None:
        raise ToolError(f"{VENV}: no ansible-core in it; run `make venv`")
    link = stub / "module_utils"
    link.unlink(missing_ok=True)
    link.symlink_to(real)
    return os.pathsep.join((str(IMPORTS), str(COLLECTIONS)))


def check(version: interpreters.Version, python: str) -> None:
    """Compile, import and test under one interpreter."""
    name = interpreters.text(version)
    folder = ROOT / f".venv-target-{name}"
    venv.ensure(folder, ROOT / "requirements" / "targets.txt", python)
    runs = str(folder / "bin" / "python")
    utils = sorted(PLUGINS.glob("module_utils/*.py"))
    files = [str(path) for path in (*utils, *sorted(PLUGINS.glob("modules/*.py")))]
    if not utils:
        raise ToolError(f"{PLUGINS}/module_utils: no Python file to check")
    env = clean_environment(PYTHONPATH=import_path(), PYTHONDONTWRITEBYTECODE="1")
    modules = ",".join(path.stem for path in utils if path.stem != "__init__")
    run([runs, "-c", COMPILE_AND_IMPORT, modules, *files], f"Python {name}: compile and import", env=env)
    # The options of pyproject.toml are for the developers' newer pytest.
    pytest = [runs, "-m", "pytest", "-q", "-c", os.devnull, f"--rootdir={ROOT}", "--import-mode=importlib"]
    shown = run([*pytest, "-p", "no:cacheprovider", str(TESTS)], f"Python {name}: unit tests", env=env)
    print(f"Python {name}: {len(files)} files compile; {shown.strip().splitlines()[-1].strip('= ')}", flush=True)


def main() -> int:
    """Check under each interpreter; say which were not found."""
    found = {version: python for version, python in interpreters.find().items() if version in SUPPORTED}
    if not found:
        raise SkippedError("no Python from 3.8 to 3.14 found")
    failed = []
    for version, python in found.items():
        try:
            check(version, python)
        except ToolError as error:
            print(error, flush=True)
            failed.append(interpreters.text(version))
    absent = [interpreters.text(version) for version in SUPPORTED if version not in found]
    if absent:
        print(f"not found on this machine, hence not checked: Python {', '.join(absent)}")
    if failed:
        raise ToolError(f"Python {', '.join(failed)}: failed (see above)")
    return 0


if __name__ == "__main__":
    finish(main)
