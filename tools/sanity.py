# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-test sanity` on exactly what is shipped: `python -m tools.sanity [OPTION of ansible-test sanity ...]`.

ansible-test wants to stand in .../ansible_collections/netfleet/tcp, without symbolic links. It gets the built
collection unpacked there, so that it judges what users get and nothing else.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tools import artifact, interpreters
from tools.shared import CACHE, VENV, ToolError, clean_environment, empty_folder, finish, program, run, stream

WORK = CACHE / "sanity"
# The Pythons that ansible-test of ansible-core 2.19 knows.
KNOWN = [(3, minor) for minor in range(8, 14)]

# ansible-test makes its virtual environments with a get-pip script from the network; this one stands in for it. The pip
# that the interpreter brings along serves as well as the one that ansible-test asks for, and knows where this machine
# gets packages from.
GET_PIP = """\
import ensurepip

ensurepip.bootstrap(upgrade=True)
"""
PIP_OF_ANSIBLE_TEST = "24.2"
# A run in which it finds nothing to test ends well too; some forty tests run on a whole collection.
FEWEST_TESTS = 20


def provide_pip(home: Path) -> None:
    """Put our get-pip where ansible-test looks before it asks the network."""
    script = home / ".ansible" / "test" / "cache" / f"get_pip_{PIP_OF_ANSIBLE_TEST.replace('.', '_')}.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(GET_PIP, encoding="utf-8")


def interpreter_folder() -> Path:
    """A folder of links to the oldest and the newest Python that ansible-test knows, under the names that it looks for.

    It makes environments for each Python that it finds; those in between are what `make target-pythons` is for.
    """
    folder = empty_folder(WORK / "bin")
    known = [(version, python) for version, python in interpreters.find().items() if version in KNOWN]
    for version, python in {known[0], known[-1]}:
        (folder / f"python{interpreters.text(version)}").symlink_to(python)
    return folder


def prepare_tree(built: Path) -> Path:
    """Unpack the built collection where ansible-test wants it, with the environments that earlier runs made there."""
    kept = WORK / "output"
    tree = WORK / "collections" / "ansible_collections" / artifact.NAMESPACE / artifact.NAME
    if (tree / "tests" / "output").exists():
        if kept.exists():
            shutil.rmtree(kept)
        (tree / "tests" / "output").rename(kept)
    artifact.unpack(built, WORK / "collections")
    if kept.exists():
        (tree / "tests").mkdir()
        kept.rename(tree / "tests" / "output")
    # ansible-test asks git which files there are; the repository around the tree would say none, as it ignores .cache.
    run(["git", "init", "--quiet", str(tree)], "git init")
    # Its own output is no file of the collection's.
    (tree / ".git" / "info" / "exclude").write_text("/tests/output/\n", encoding="utf-8")
    return tree


def main() -> int:
    """Unpack the built collection and let ansible-test judge it."""
    built = artifact.build(WORK / "built")
    tree = prepare_tree(built)
    provide_pip(artifact.home())
    env = clean_environment(HOME=str(artifact.home()))
    # Not the user's PATH: version managers' shims on it look like Pythons that do not run.
    env["PATH"] = os.pathsep.join((str(interpreter_folder()), str(VENV / "bin"), "/usr/local/bin", "/usr/bin", "/bin"))
    command = [program("ansible-test"), "sanity", "--venv", "--requirements", "--color", "no", *sys.argv[1:]]
    told = stream(command, "ansible-test sanity", cwd=tree, env=env)
    ran = told.count("Running sanity test")
    if "All targets skipped" in told or ran < FEWEST_TESTS:
        raise ToolError(f"ansible-test sanity ran {ran} tests only, and may have looked at no file of ours (see above)")
    print(f"ansible-test sanity: {ran} tests on {built.name}")
    return 0


if __name__ == "__main__":
    finish(main)
