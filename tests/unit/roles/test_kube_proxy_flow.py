# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's tasks as Ansible itself goes through them: waves one after another, each host in its own, once for all.

An action of the tests takes the place of the role's: it writes down what it is asked, and fails where it is told to.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROLE = Path(__file__).resolve().parents[3] / "roles" / "kube_proxy"
STAND_IN = """
import os
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        given, host = self._task.args, task_vars["inventory_hostname"]
        step, present = given.get("step", "install"), task_vars["ansible_play_hosts"]
        with open(os.environ["SAID"], "a") as stream:
            words = [step, str(given.get("number", "")), host, "".join(present)]
            stream.write(" ".join(words) + "\\n")
        if step == "plan":
            waves = [["a"], ["b", "c"], ["d"]]
            return {"waves": waves, "by_api": "BY_FILES" not in os.environ, "packages": {"a": ["x"], "d": ["x"]}}
        if step == "settle":
            return {"waves": [["b"], ["a", "d"]]}
        # As the role's action does.
        lost = step == "begin" and len(present) < 4
        return {"failed": lost or os.environ["FAILS"] == "%s %s" % (step, host)}
"""
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: kube_proxy
        rolespec_validate: false
"""


def _run(folder: Path, fails: str, **environment: str) -> tuple[int, list[str]]:
    """Ansible's exit status, and what the action was asked: step, wave, host, and the hosts that were left.

    fails: the step, and the host.
    """
    shutil.copytree(ROLE, folder / "roles" / "kube_proxy")
    for path in (folder / "roles" / "kube_proxy" / "tasks").iterdir():
        text = path.read_text(encoding="utf-8")
        for name in ("netfleet.tcp.kube_proxy:", "ansible.builtin.package:"):
            text = text.replace(name, "stand_in:")
        path.write_text(text, "utf-8")
    for name, text in {
        "action_plugins/stand_in.py": STAND_IN,
        "play.yml": PLAY,
        "inventory": "".join(f"{host} ansible_connection=local\n" for host in "abcd"),
        "ansible.cfg": "[defaults]\n",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    own = {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "SAID": str(folder / "said"), "FAILS": fails, **environment}
    program = Path(sys.executable).parent / "ansible-playbook"
    argv = [str(program), "-i", "inventory", "play.yml"]
    run = subprocess.run(argv, cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    said = (folder / "said").read_text(encoding="utf-8").splitlines()
    assert len(said) > 4, run.stdout + run.stderr
    return run.returncode, said


def _without_order(said: list[str]) -> list[list[str]]:
    """The words, those of hosts that are at work at the same time sorted."""
    found: list[list[str]] = []
    for line in said:
        step, number, host, present = line.split(" ")
        if found and found[-1][:2] == [step, number]:
            found[-1][2] = "".join(sorted(found[-1][2] + host))
        else:
            found.append([step, number, host, present])
    return found


def test_waves_follow_one_another_and_what_concerns_all_is_done_once(tmp_path: Path) -> None:
    status, said = _run(tmp_path, "")
    assert status == 0
    assert _without_order(said) == [
        ["look", "", "abcd", "abcd"],
        ["plan", "", "a", "abcd"],
        ["install", "", "ad", "abcd"],
        ["begin", "", "a", "abcd"],
        ["switch", "0", "a", "abcd"],
        ["switch", "1", "bc", "abcd"],
        ["switch", "2", "d", "abcd"],
        ["settle", "", "a", "abcd"],
        ["home", "0", "b", "abcd"],
        ["home", "1", "ad", "abcd"],
        ["end", "", "a", "abcd"],
    ]


@pytest.mark.parametrize(("fails", "left"), [("a", "bcd"), ("c", "abd")])
def test_whoever_comes_after_a_failure_is_told_who_is_left(fails: str, left: str, tmp_path: Path) -> None:
    status, said = _run(tmp_path, "switch " + fails)
    assert status == 2
    last = [line for line in said if line.startswith(("switch 2", "settle", "end"))]
    assert {line.split(" ")[3] for line in last} == {left}
    assert said[-1].startswith("end")


@pytest.mark.parametrize("environment", [{}, {"BY_FILES": "1"}])
def test_what_cannot_be_installed_on_one_host_ends_the_run_before_any_node_is_switched(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Of the last wave: the first ones would be switched, and the cluster left in two modes."""
    status, said = _run(tmp_path, "install d", **environment)
    assert status == 2
    assert _without_order(said)[2:] == [["install", "", "ad", "abcd"], ["begin", "", "a", "abc"]]
