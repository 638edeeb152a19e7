# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/drift.yml as users run it, on this machine, which it only reads, and on hosts that nobody reaches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


def test_a_host_at_whose_variables_ansible_stops_ends_no_check_of_the_others(tmp_path: Path) -> None:
    hosts = {"broken": {**HERE, "ansible_host": "{{ nothing }}"}, "here": HERE}
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(json.dumps({"cloud": {"hosts": hosts}}), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            f"--inventory={inventory}",
            f"--extra-vars={json.dumps({'tcp_drift_directory': str(tmp_path)})}",
            str(ROOT / "playbooks" / "drift.yml"),
        ],
        env={**kept, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_ANY_ERRORS_FATAL": "true"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stdout + done.stderr
    report = json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))
    found = {host["name"]: host["status"] for host in report["hosts"]}
    assert found["broken"] == "failed"
    assert found["here"] in ("in_step", "drift")
