# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/render.yml as users run it. tests/golden/example is its result for inventories/example (make golden)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
EXAMPLE = ROOT / "inventories" / "example"
GOLDEN = ROOT / "tests" / "golden" / "example"
OWN = "etc/sysctl.d/90-netfleet-tcp.conf"
KEY = "00112233-44556677-8899aabb-ccddeeff"
# A connection plugin that reaches no host, and says if somebody tried.
NO_CONNECTION = '''\
DOCUMENTATION = """
name: none
short_description: reaches no host
description: [Fails.]
author: [the tests]
"""
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase


class Connection(ConnectionBase):
    transport = "none"

    def _connect(self, *arguments, **named):
        Path(__file__).with_name("tried").touch()
        raise AnsibleConnectionFailure("a host was to be contacted")

    exec_command = put_file = fetch_file = _connect

    def close(self):
        pass
'''


class Renderer:
    """Runs the playbook where no host can be reached."""

    def __init__(self, folder: Path) -> None:
        self.plugins = folder / "plugins"
        self.plugins.mkdir()
        (self.plugins / "none.py").write_text(NO_CONNECTION, encoding="utf-8")
        self.out = folder / "out"

    @property
    def contacted(self) -> bool:
        """Whether a connection to a host was begun."""
        return (self.plugins / "tried").exists()

    def ansible(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of Ansible to its end."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        settings = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_CONNECTION_PLUGINS": str(self.plugins),
            "ANSIBLE_NOCOLOR": "1",
        }
        command = [str(Path(sys.executable).with_name(program)), "--connection=none", *arguments]
        return subprocess.run(command, env={**kept, **settings}, cwd=ROOT, capture_output=True, text=True, check=False)

    def run(self, inventory: Path, *arguments: str, out: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Render an inventory into a folder."""
        folder = "tcp_render_directory=%s" % (out or self.out)
        playbook = str(ROOT / "playbooks" / "render.yml")
        return self.ansible("ansible-playbook", "--inventory", str(inventory), "-e", folder, *arguments, playbook)

    def changed(self, inventory: Path, *arguments: str) -> int:
        """Render it without a fault; how many tasks changed something."""
        done = self.run(inventory, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not self.contacted
        return sum(int(number) for number in re.findall(r"\bchanged=(\d+)", done.stdout))


@pytest.fixture
def renderer(tmp_path: Path) -> Renderer:
    return Renderer(tmp_path)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of inventories/example."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "example"))


def inventory_of(path: Path, hosts: dict[str, Any], **variables: Any) -> Path:
    """A small inventory; profile local unless said otherwise."""
    data = {"all": {"hosts": hosts, "vars": {"tcp_tuning_profile": "local", **variables}}}
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """Every file and link below a folder."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = b"-> " + os.fsencode(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def changed_files(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def test_no_host_can_be_reached_here(renderer: Renderer) -> None:
    """What the other tests rely on: Renderer.contacted would be true."""
    done = renderer.ansible("ansible", "-i", "h1,", "all", "-m", "ansible.builtin.ping")
    assert done.returncode == 4, done.stdout + done.stderr
    assert renderer.contacted


def test_the_example_is_rendered_to_the_byte_and_stays_so(renderer: Renderer) -> None:
    golden = tree(GOLDEN)
    hosts = {name.split("/", 1)[0] for name in golden}
    assert len(hosts) == 13
    assert renderer.changed(EXAMPLE) == len(hosts)
    cure = "if the change is meant: make golden"
    assert sorted(changed_files(golden, tree(renderer.out))) == [], cure
    assert tree(renderer.out) == golden, cure
    assert renderer.changed(EXAMPLE) == 0
    assert tree(renderer.out) == golden


def test_a_change_of_the_inventory_shows_in_the_files_that_it_concerns(renderer: Renderer, example: Path) -> None:
    shutil.copytree(GOLDEN, renderer.out, symlinks=True)
    before = tree(renderer.out)
    variables = example / "group_vars" / "databases.yml"
    variables.write_text("---\ntcp_tuning_workloads: [ha]\ntcp_tuning_qdisc: fq_codel\n", encoding="utf-8")
    done = renderer.run(example, "--check", "--diff")
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree(renderer.out) == before, "check mode wrote"
    headers = set(re.findall(r"^\+\+\+ after: (.*)$", done.stdout, re.MULTILINE))
    assert "+net.core.default_qdisc = fq_codel" in done.stdout.splitlines()

    assert renderer.changed(example) == 2
    changed = changed_files(before, tree(renderer.out))
    assert {name.split("/", 1)[0] for name in changed} == {"db01.dc1.example.net", "db02.dc1.example.net"}
    assert "db01.dc1.example.net/" + OWN in changed
    assert headers == {str(renderer.out / name) for name in changed}


def test_what_a_host_that_left_would_have_got_is_removed(renderer: Renderer, tmp_path: Path) -> None:
    two = inventory_of(tmp_path / "two.yml", {"h1": {}, "h2": {}})
    one = inventory_of(tmp_path / "one.yml", {"h1": {}})
    shutil.copytree(GOLDEN / "db01.dc1.example.net", renderer.out / "h2")
    (renderer.out / "README").write_text("mine\n", encoding="utf-8")
    assert renderer.changed(two, "--limit", "h1") == 1
    assert (renderer.out / "h2").exists(), "a host outside of --limit is still in the inventory"
    assert renderer.changed(one, "--check") == 1
    assert (renderer.out / "h2").exists()
    assert renderer.changed(one) == 1
    assert sorted(path.name for path in renderer.out.iterdir()) == ["README", "h1"]


def test_a_folder_that_is_not_ours_is_refused(renderer: Renderer, tmp_path: Path) -> None:
    inventory = inventory_of(tmp_path / "one.yml", {"h1": {}})
    (renderer.out / "h1").mkdir(parents=True)
    (renderer.out / "h1" / "thesis.tex").write_text("mine\n", encoding="utf-8")
    done = renderer.run(inventory)
    assert done.returncode == 2
    assert "h1 was not rendered by netfleet.tcp" in done.stdout + done.stderr
    assert tree(renderer.out) == {"h1/thesis.tex": b"mine\n"}


def test_bad_input_is_named_in_full_and_the_other_hosts_are_rendered(renderer: Renderer, tmp_path: Path) -> None:
    wrong = {
        "tcp_tuning_profile": "clod",
        "tcp_tuning_workloads": ["prxy"],
        "tcp_tuning_overrides": {"net.ipv4.tcp_fin_timeout": 9999999},
        "tcp_tuning_rtt": "fast",
    }
    hosts = {"bad": wrong, "good": {"tcp_tuning_worklods": ["ha"]}}
    done = renderer.run(inventory_of(tmp_path / "hosts.yml", hosts))
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2
    for name in ("profile", "workloads[0]", "overrides[net.ipv4.tcp_fin_timeout]", "rtt"):
        assert "tcp_tuning_%s:" % name in said, said
    assert "did you mean cloud?" in said
    assert "Traceback" not in said
    assert [path.name for path in renderer.out.iterdir()] == ["good"]
    # A variable that nobody reads is no error, but said.
    summary = yaml.safe_load((renderer.out / "good" / "summary.yml").read_text(encoding="utf-8"))
    (warning,) = summary["warnings"]
    assert "tcp_tuning_worklods" in warning
    assert "did you mean tcp_tuning_workloads?" in warning


def test_secrets_are_tokens_on_disk_and_on_screen(renderer: Renderer) -> None:
    done = renderer.run(EXAMPLE, "--limit", "gateways", "--diff", "-vv", "-e", "tcp_tuning_fast_open_key=" + KEY)
    assert done.returncode == 0, done.stdout + done.stderr
    files = tree(renderer.out)
    assert any(name.endswith("-secret.conf") for name in files)
    everything = b"".join(files.values()) + (done.stdout + done.stderr).encode()
    assert b"<secret net.ipv4.tcp_fastopen_key>" in everything
    assert not [part for part in (KEY, *KEY.split("-")) if part.encode() in everything]


def test_odd_names_of_hosts_stay_inside_the_folder(renderer: Renderer, tmp_path: Path) -> None:
    names = ["../x", "..", "/abs", "a host", ".hidden", "ünï"]
    hosts: dict[str, Any] = {name: {} for name in names}
    hosts["linked"] = {"tcp_tuning_qdisc": "fq", "tcp_tuning_qdisc_interfaces": ["eth0"]}
    inventory = inventory_of(tmp_path / "hosts.yml", hosts)
    before = {path.name for path in tmp_path.iterdir()}
    assert renderer.changed(inventory) == len(hosts)
    assert {path.name for path in tmp_path.iterdir()} - before == {"out"}
    assert len(list(renderer.out.iterdir())) == len(hosts)
    assert all((folder / OWN).is_file() for folder in renderer.out.iterdir())
    wants = "linked/etc/systemd/system/multi-user.target.wants/90-netfleet-tcp-qdisc.service"
    assert tree(renderer.out)[wants] == b"-> ../90-netfleet-tcp-qdisc.service"
