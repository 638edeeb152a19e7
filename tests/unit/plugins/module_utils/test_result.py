# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED, managed_paths
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure, printable, run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Baseline,
    Desired,
    DesiredFile,
    DesiredKey,
    DesiredQdisc,
    FileState,
    Finding,
    Interface,
    KeyState,
    ModuleState,
    Observed,
    Plan,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import BEFORE, make_plan
from ansible_collections.netfleet.tcp.plugins.module_utils._result import diff, result

PATH, _SECRETS, MODULES, _UNIT, LINK = managed_paths("90-netfleet-tcp.conf")
FIN = "net.ipv4.tcp_fin_timeout"
DESIRED = Desired(
    "90-netfleet-tcp",
    keys=(DesiredKey(FIN, "30"),),
    files=(
        DesiredFile(PATH, text=MANAGED + "\n%s = 30\n" % FIN, reason="sets the keys"),
        DesiredFile(LINK, target="../x", reason="starts the unit"),
    ),
    modules=("tcp_bbr",),
    qdiscs=(DesiredQdisc("eth0", "fq"),),
)
OBSERVED = Observed(
    kernel="6.1",
    memory=1,
    root=True,
    systemd=True,
    reader="systemd-sysctl",
    child_netns=False,
    keys={FIN: KeyState(FIN, "60"), "net.ipv4.tcp_sack": KeyState("net.ipv4.tcp_sack", "0")},
    files={PATH: FileState(PATH), LINK: FileState(LINK, "symlink", target="../y"), MODULES: FileState(MODULES)},
    modules={"tcp_bbr": ModuleState("tcp_bbr", loadable=True)},
    interfaces=(Interface("eth0", True, True, 1500, 1, "fq_codel"), Interface("lo", True, False, 1, 1, "noqueue")),
    baseline=Baseline(keys={"net.ipv4.tcp_sack": "1"}, files={MODULES: FileState(MODULES, "file", 0o644, "old\n")}),
)
PLAN = make_plan(DESIRED, OBSERVED)


def test_the_diff_is_the_kernel_and_each_file() -> None:
    assert diff(DESIRED, OBSERVED, PLAN) == [
        {
            "before_header": "running kernel",
            "after_header": "running kernel",
            "before": "module tcp_bbr = unloaded\n%s = 60\nnet.ipv4.tcp_sack = 0\nqdisc eth0 = fq_codel\n" % FIN,
            "after": "module tcp_bbr = loaded\n%s = 30\nnet.ipv4.tcp_sack = 1\nqdisc eth0 = fq\n" % FIN,
        },
        {
            "before_header": MODULES + " (absent)",
            "after_header": MODULES + " (file of mode 0644, 4 bytes; %s)" % BEFORE,
            "before": "",
            "after": "old\n",
        },
        {
            "before_header": PATH + " (absent)",
            "after_header": PATH + " (file of mode 0644, %d bytes; sets the keys)" % len(DESIRED.files[0].text),
            "before": "",
            "after": DESIRED.files[0].text,
        },
        {
            "before_header": LINK + " (link to ../y)",
            "after_header": LINK + " (link to ../x; starts the unit)",
            "before": "../y\n",
            "after": "../x\n",
        },
    ]


def test_without_changes_there_is_no_diff() -> None:
    assert diff(Desired("x"), OBSERVED, Plan()) == []


def test_a_result_says_what_runs_and_what_would() -> None:
    found = result(DESIRED, OBSERVED, PLAN)
    assert found["changed"] is True
    assert found["before"] == {
        "sysctl": {FIN: "60", "net.ipv4.tcp_sack": "0"},
        "qdisc": {"eth0": "fq_codel"},
        "module": {"tcp_bbr": False},
        "file": {MODULES: "absent", PATH: "absent", LINK: "link to ../y"},
    }
    assert found["after"] == {
        "sysctl": {FIN: "30", "net.ipv4.tcp_sack": "1"},
        "qdisc": {"eth0": "fq"},
        "module": {"tcp_bbr": True},
        "file": {
            MODULES: "file of mode 0644, 4 bytes",
            PATH: "file of mode 0644, %d bytes" % len(DESIRED.files[0].text),
            LINK: "link to ../x",
        },
    }
    assert [change["key"] for change in found["changes"]] == [change.key for change in PLAN.changes]
    assert json.loads(json.dumps(found)) == found


def test_after_an_application_the_result_is_what_was_read_back() -> None:
    keys = {**OBSERVED.keys, FIN: KeyState(FIN, "31")}
    after = Observed(**{**OBSERVED.__dict__, "keys": keys})
    assert result(DESIRED, OBSERVED, PLAN, after)["after"]["sysctl"][FIN] == "31"


def test_warnings_are_findings_of_that_severity_and_what_was_said() -> None:
    findings = tuple(Finding("s", severity, severity, "x") for severity in ("error", "warning", "note"))
    found = result(Desired("x"), OBSERVED, Plan(findings=findings), warnings=["more"])
    assert found["warnings"] == ["warning: x", "more"]
    assert [each["severity"] for each in found["findings"]] == ["error", "warning", "note"]
    assert found["changed"] is False


class ExitError(Exception):
    """How a module ends."""


class FakeModule:
    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def exit_json(self, **result_: Any) -> None:
        raise ExitError("exit", result_)

    def fail_json(self, **result_: Any) -> None:
        raise ExitError("fail", result_)


def ended(work: Any) -> tuple[Any, ...]:
    module = FakeModule()
    with pytest.raises(ExitError) as caught:
        run_module(module, work)
    return (*caught.value.args, module.warned)


def test_a_module_that_succeeds() -> None:
    answer = {"changed": False, "warnings": ["careful"]}
    assert ended(lambda: dict(answer)) == ("exit", {"changed": False}, ["careful"])


@pytest.mark.parametrize("error", [HostError, InputError])
def test_a_module_that_fails(error: type[HostError]) -> None:
    def work() -> dict[str, Any]:
        raise error([Problem("a", "is wrong", "mend it"), Problem("", "b is wrong")])

    how, said, warned = ended(work)
    assert (how, warned) == ("fail", [])
    assert said["problems"] == ["a: is wrong (mend it)", "b is wrong"]
    assert said["msg"].startswith("a: is wrong (mend it)")


def test_a_single_problem_is_the_message() -> None:
    assert failure(HostError([Problem("a", "is wrong")])) == {"msg": "a: is wrong", "problems": ["a: is wrong"]}


def test_bytes_that_are_not_utf_8_can_be_told() -> None:
    """Ansible refuses a whole result for one such byte of somebody's file."""
    told = printable({"\udcff": [("a\udcfeb", "ä"), None, 1, True]})
    assert told == {"\\xff": [["a\\xfeb", "ä"], None, 1, True]}
    json.dumps(told, ensure_ascii=False).encode()
