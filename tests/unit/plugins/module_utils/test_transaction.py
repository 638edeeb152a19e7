# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import baseline_path
from ansible_collections.netfleet.tcp.plugins.module_utils._boot_recovery import LINK, UNIT
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import (
    ROLE_DECLARATION,
    build,
    render_sysctl_file,
    watched_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Desired,
    DesiredKey,
    DesiredQdisc,
    FileState,
    Interface,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import make_plan
from ansible_collections.netfleet.tcp.plugins.module_utils._result import outcome_result
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import token
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply, inspect
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import WG_QUICK, tunnel_files
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._values import fast_open_key
from tests.unit.plugins.fake_system import CONGESTION_CONTROL, DEFAULT_QDISC, FakeSystem

FILE = "90-netfleet-tcp.conf"
NAME = "90-netfleet-tcp"
PATH = "/etc/sysctl.d/" + FILE
STATE = baseline_path(NAME)
RMEM = "net.ipv4.tcp_rmem"
FIN = "net.ipv4.tcp_fin_timeout"
TFO_KEY = "net.ipv4.tcp_fastopen_key"
SECRET = "5ec2e7ed-5ec2e7ed-5ec2e7ed-5ec2e7ed"


def declare(
    keys: dict[str, str],
    modules: tuple[str, ...] = (),
    qdiscs: dict[str, str] | None = None,
    queues: int = 1,
    boot_conflict: str = "fail",
) -> Desired:
    wanted = [DesiredKey(name, value, "because") for name, value in keys.items()]
    live = [DesiredQdisc(name, kind, "because") for name, kind in (qdiscs or {}).items()]
    seen = [Interface(name, True, True, 1500, queues, "mq" if queues > 1 else "fq_codel") for name in qdiscs or {}]
    return build(
        file_name=FILE,
        text=render_sysctl_file([key for key in wanted if key.name != TFO_KEY]),
        keys=wanted,
        modules=modules,
        qdiscs=live,
        interfaces=seen,
        congestion_control=keys.get(CONGESTION_CONTROL, ""),
        boot_conflict=boot_conflict,
    )


NOTHING = declare({})
SIMPLE = declare({FIN: "30", RMEM: "4096 131072 33554432"})
EVERYTHING = declare(
    {
        RMEM: "4096 131072 33554432",
        FIN: "30",
        TFO_KEY: token(TFO_KEY),
        CONGESTION_CONTROL: "bbr",
        DEFAULT_QDISC: "fq",
        "net.ipv4.tcp_fastopen": "1027",
        "net.ipv4.ip_local_reserved_ports": "8080,9000-9010",
    },
    modules=("sch_fq", "tcp_bbr"),
    qdiscs={"eth0": "fq", "eth1": "fq"},
    queues=3,
)
SECRETS = {TFO_KEY: SECRET}


def host() -> FakeSystem:
    """A host with a NIC of three queues, one of a single queue whose qdisc was set, and files of other owners."""
    system = FakeSystem()
    system.add_interface("lo", physical=False)
    system.add_interface("eth0", queues=3)
    system.add_interface("eth1", queues=3, qdisc="mq", handle="8001:", leaves=["fq_codel", "sfq", "sfq"])
    system.loaded.add("sch_sfq")
    system.put("/usr/lib/sysctl.d/10-vendor.conf", "net.ipv4.tcp_fin_timeout = 60\n")
    system.put("/etc/sysctl.conf", "# empty\n")
    return system


def failure(system: FakeSystem, desired: Desired, secrets: dict[str, str] | None = None) -> str:
    with pytest.raises(HostError) as caught:
        apply(system, desired, secrets or {})
    return str(caught.value)


def attempt(system: FakeSystem, desired: Desired, secrets: dict[str, str]) -> str:
    """The message of a failure, or the warnings of a success."""
    try:
        return "; ".join(apply(system, desired, secrets).warnings)
    except HostError as error:
        return str(error)


# Success


def test_everything_is_applied() -> None:
    system = host()
    outcome = apply(system, EVERYTHING, SECRETS)
    assert outcome.warnings == ()
    assert system.sysctls[RMEM] == "4096\t131072\t33554432"
    assert system.sysctls[CONGESTION_CONTROL] == "bbr"
    assert system.sysctls[TFO_KEY] == SECRET
    assert system.sysctls["net.ipv4.tcp_fastopen"] == "1027"
    assert {"tcp_bbr", "sch_fq"} <= system.loaded
    assert [system.interfaces[name].leaves for name in ("eth0", "eth1")] == [["fq"] * 3, ["fq"] * 3]
    assert system.interfaces["eth0"].qdisc == "mq"
    assert system.files[PATH].text == EVERYTHING.files[0].text
    secret_file = system.files["/etc/sysctl.d/%s-secret.conf" % NAME]
    assert (secret_file.mode, secret_file.text.splitlines()[1]) == (0o600, "%s = %s" % (TFO_KEY, SECRET))
    assert system.files["/etc/modules-load.d/%s.conf" % NAME].text.splitlines()[1:] == ["sch_fq", "tcp_bbr"]
    link = system.files["/etc/systemd/system/multi-user.target.wants/%s-qdisc.service" % NAME]
    assert (link.kind, link.target) == ("symlink", "../%s-qdisc.service" % NAME)
    assert system.files[STATE].mode == 0o600
    assert outcome.after.keys[RMEM].running == "4096 131072 33554432"
    assert {change.subject for change in outcome.plan.changes} == {"module", "sysctl", "qdisc", "file"}


def test_what_decides_the_next_boot_is_written_last() -> None:
    system = host()
    apply(system, EVERYTHING, SECRETS)
    kinds = [step.split(" ")[0] for step in system.steps]
    kinds = [kind for kind, before in zip(kinds, ["", *kinds]) if kind != before]
    # The first file is the record of what stood there before; the revert is armed, for a boot too, before anything is
    # touched; the files that decide the next boot come last.
    assert kinds[:8] == ["mkdir", "file", "arm", "file", "link", "modprobe", "sysctl", "tc"]
    assert system.steps[1] == "file /var/lib/netfleet-tcp/pending.json"
    files = [step for step in system.steps if step.startswith(("file /etc", "link /etc"))]
    assert files[:2] == ["file " + UNIT, "link " + LINK]
    queueing = [number for number, step in enumerate(system.steps) if step.startswith("tc ")]
    assert system.steps.index(files[2]) > queueing[-1]


def test_a_change_that_is_final_leaves_nothing_but_its_record() -> None:
    system = host()
    apply(system, EVERYTHING, SECRETS)
    state = sorted(path for path in system.files if path.startswith("/var/lib/netfleet-tcp/"))
    assert [path for path in state if "/history/" not in path] == [STATE]
    assert len(state) == 2
    assert (system.timer, UNIT in system.files, LINK in system.files) == ([], False, False)
    (first, *changes, last) = [line.split(" ", 2)[2] for line in system.journal]
    assert last == "confirmed"
    assert first.endswith(
        ": %d changes, taken back in 120 s by timer netfleet-tcp-revert.timer unless confirmed" % len(changes)
    )


def test_only_what_differs_is_written() -> None:
    system = host()
    apply(system, declare({FIN: "60", "net.ipv4.tcp_retries2": "8"}), {})
    assert [step for step in system.steps if step.startswith("sysctl")] == ["sysctl net.ipv4.tcp_retries2"]


@pytest.mark.parametrize("desired", [SIMPLE, EVERYTHING, NOTHING], ids=["simple", "everything", "nothing"])
def test_the_second_application_changes_nothing(desired: Desired) -> None:
    system = host()
    apply(system, desired, SECRETS)
    before, steps = system.snapshot(), len(system.steps)
    outcome = apply(system, desired, SECRETS)
    assert outcome.plan.changes == ()
    assert system.snapshot() == before
    assert len(system.steps) == steps


@pytest.mark.parametrize("desired", [SIMPLE, EVERYTHING], ids=["simple", "everything"])
def test_absent_gives_back_what_was(desired: Desired) -> None:
    system = host()
    before = system.snapshot()
    apply(system, desired, SECRETS)
    assert system.snapshot() != before
    outcome = apply(system, NOTHING, {})
    assert system.snapshot() == before
    assert outcome.warnings == ()


def test_absent_gives_back_files_links_and_modes() -> None:
    system = host()
    system.put(PATH, "# somebody's own\nnet.ipv4.tcp_fin_timeout = 45\n# odd: \udcff\r\n", mode=0o640)
    system.put("/etc/modules-load.d/%s.conf" % NAME, kind="symlink", target="/dev/null")
    before = system.snapshot()
    with pytest.raises(HostError, match="somebody else's file of mode 0640"):
        apply(system, EVERYTHING, SECRETS)
    assert system.snapshot() == before
    outcome = apply(system, replace(EVERYTHING, boot_conflict="warn"), SECRETS)
    assert [found.key for found in outcome.plan.by_severity("warning")] == [PATH, "/etc/modules-load.d/%s.conf" % NAME]
    apply(system, NOTHING, {})
    assert system.snapshot() == before


def test_a_file_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    system = host()
    before = system.snapshot()
    write = system.write_file

    def full(path: str, text: str, mode: int, owner: tuple[int, int] = (0, 0)) -> None:
        if path == PATH:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, text, mode, owner)

    def read_only(_path: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(system, "write_file", full)
    remove = system.remove
    monkeypatch.setattr(system, "remove", lambda path: (read_only if path == PATH else remove)(path))
    with pytest.raises(HostError) as caught:
        apply(system, SIMPLE, {})
    assert [str(problem) for problem in caught.value.problems[1:]] == [
        "everything was restored; nothing has changed on this host"
    ]
    assert str(caught.value.problems[0]).startswith(PATH + ": cannot be changed: No space left on device")
    assert system.snapshot() == before


def test_drift_is_removed_and_does_not_become_the_value_from_before() -> None:
    system = host()
    before = system.snapshot()
    apply(system, SIMPLE, {})
    system.sysctls[FIN] = "99"
    system.put(PATH, "net.ipv4.tcp_fin_timeout = 99\n")
    outcome = apply(system, SIMPLE, {})
    assert [(change.subject, change.key) for change in outcome.plan.changes] == [("sysctl", FIN), ("file", PATH)]
    assert system.sysctls[FIN] == "30"
    apply(system, NOTHING, {})
    assert system.snapshot() == before


def test_a_key_that_is_no_longer_declared_gets_its_value_back() -> None:
    system = host()
    before = system.snapshot()
    apply(system, SIMPLE, {})
    outcome = apply(system, declare({FIN: "30"}), {})
    assert system.sysctls[RMEM] == before["sysctls"][RMEM]
    assert system.sysctls[FIN] == "30"
    assert [change.key for change in outcome.plan.changes] == [RMEM, PATH]
    assert list(json.loads(system.files[STATE].text)["keys"]) == [FIN]
    apply(system, NOTHING, {})
    assert system.snapshot() == before


def test_an_algorithm_that_is_no_longer_declared_is_unloaded() -> None:
    system = host()
    apply(system, declare({CONGESTION_CONTROL: "bbr"}, modules=("tcp_bbr",)), {})
    apply(system, declare({CONGESTION_CONTROL: "htcp"}, modules=("tcp_htcp",)), {})
    assert (system.sysctls[CONGESTION_CONTROL], system.loaded) == ("htcp", {"tcp_htcp", "sch_sfq"})


def test_a_module_that_is_still_in_use_is_a_warning() -> None:
    system = host()
    apply(system, declare({CONGESTION_CONTROL: "bbr"}, modules=("tcp_bbr",)), {})
    system.sysctls[CONGESTION_CONTROL] = "bbr"
    run = system.run
    system.run = lambda argv, stdin="": (  # type: ignore[method-assign]
        (1, "", "Module tcp_bbr is in use.") if "-r" in argv else run(argv, stdin)
    )
    outcome = apply(system, NOTHING, {})
    assert "tcp_bbr is still in use" in outcome.warnings[0]
    assert system.sysctls[CONGESTION_CONTROL] == "cubic"
    assert STATE not in system.files


# Failure


def count_steps(prepare: Callable[[FakeSystem], None], desired: Desired) -> int:
    system = host()
    prepare(system)
    start = len(system.steps)
    apply(system, desired, SECRETS)
    return len(system.steps) - start


def fresh(_system: FakeSystem) -> None:
    pass


def tuned(system: FakeSystem) -> None:
    apply(system, EVERYTHING, SECRETS)


def otherwise_tuned(system: FakeSystem) -> None:
    other = declare(
        {FIN: "20", CONGESTION_CONTROL: "htcp", "net.core.somaxconn": "8192"},
        modules=("tcp_htcp",),
        qdiscs={"eth0": "sfq"},
        queues=3,
    )
    apply(system, other, {})


# What may fail: once a change is final; a module that is in use; a timer, for which a process stands in.
HARMLESS = (
    "arm",
    "modprobe -r",
    "remove /var/lib/netfleet-tcp/pending.json",
    "remove /var/lib/netfleet-tcp/revert.pyz",
    "remove /etc/systemd/system/netfleet-tcp-recover.service",
    "remove /etc/systemd/system/sysinit.target.wants/netfleet-tcp-recover.service",
)
CASES: list[tuple[str, Callable[[FakeSystem], None], Desired]] = [
    ("first application", fresh, EVERYTHING),
    ("another declaration", otherwise_tuned, EVERYTHING),
    ("taken back", tuned, NOTHING),
    ("reduced", tuned, SIMPLE),
]


@pytest.mark.parametrize("late", [False, True], ids=["without effect", "in spite of an effect"])
@pytest.mark.parametrize(("name", "prepare", "desired"), CASES, ids=[case[0] for case in CASES])
def test_a_failure_at_any_step_restores_everything(
    name: str, prepare: Callable[[FakeSystem], None], desired: Desired, late: bool
) -> None:
    steps = count_steps(prepare, desired)
    assert steps > 5, name
    for step in range(1, steps + 1):
        system = host()
        prepare(system)
        before, done = system.snapshot(), len(system.steps)
        system.fail_at, system.fail_late = done + step, late
        said = attempt(system, desired, SECRETS)
        what = "step %d of %d: %s" % (step, steps, system.steps[done + step - 1])
        # A record that stands is one, though its folder may not have been synced.
        harmless = (*HARMLESS, *(["file /var/lib/netfleet-tcp/history/"] if late else []))
        if system.steps[done + step - 1].startswith(harmless):
            assert "everything was restored" not in said, what
        else:
            assert "injected fault" in said, what
            assert system.snapshot() == before, what
            assert "everything was restored" in said, what
        assert not system.lock_held
        # And nothing stands in the way of the next run.
        system.fail_at = 0
        apply(system, desired, SECRETS)
        assert apply(system, desired, SECRETS).plan.changes == (), what


@pytest.mark.parametrize("exception", [KeyError("a fault of ours"), ValueError("x"), KeyboardInterrupt()])
def test_whatever_interrupts_it_everything_is_restored(exception: BaseException) -> None:
    for step in range(3, 12):
        system = host()
        before = system.snapshot()
        system.fail_at, system.exception = step, exception
        assert "everything was restored" in failure(system, EVERYTHING, SECRETS)
        assert system.snapshot() == before


def test_what_could_not_be_restored_is_named() -> None:
    system = host()
    system.refused.add("net.ipv4.tcp_retries2")

    def stick(step: int) -> None:
        if "sysctl net.ipv4.tcp_retries2" in system.steps[:step]:
            system.refused.add(RMEM)

    system.on_step = stick
    desired = declare({RMEM: "4096 131072 33554432", "net.ipv4.tcp_retries2": "8"})
    said = failure(system, desired)
    assert "net.ipv4.tcp_retries2: the kernel refused 8: Invalid argument" in said
    assert RMEM + ": could not be restored: the kernel refused 4096 131072 6291456: Invalid argument" in said
    assert "everything was restored" not in said


def test_a_key_that_the_kernel_refuses() -> None:
    system = host()
    system.refused.add(RMEM)
    before = system.snapshot()
    with pytest.raises(HostError) as caught:
        apply(system, SIMPLE, {})
    assert [problem.path for problem in caught.value.problems] == [RMEM, ""]
    said = str(caught.value)
    assert RMEM + ": the kernel refused 4096 131072 33554432: Invalid argument (see dmesg on the host)" in said
    assert system.snapshot() == before


def test_a_vector_that_is_half_applied_is_restored() -> None:
    system = host()
    system.half_applied.add(RMEM)
    before = system.snapshot()
    desired = declare({FIN: "30", RMEM: "8192 131072 33554432"})

    def heal(step: int) -> None:
        if system.steps[: step - 1].count("sysctl " + RMEM) == 1:
            system.half_applied.discard(RMEM)

    system.on_step = heal
    assert "everything was restored" in failure(system, desired)
    assert system.snapshot() == before
    assert len([step for step in system.steps if step == "sysctl " + RMEM]) == 2


def test_a_write_without_effect_is_a_failure() -> None:
    system = host()
    system.ignored.add(RMEM)
    before = system.snapshot()
    said = failure(system, SIMPLE)
    assert RMEM + ": is 4096 131072 6291456 after 4096 131072 33554432 was set" in said
    assert system.snapshot() == before


def test_a_new_socket_with_another_algorithm_is_a_failure() -> None:
    system = host()
    system.given_congestion_control = "cubic"
    before = system.snapshot()
    said = failure(system, declare({CONGESTION_CONTROL: "bbr"}, modules=("tcp_bbr",)))
    assert "a new socket gets cubic, not bbr" in said
    assert system.snapshot() == before


def test_a_module_that_does_not_load() -> None:
    system = host()
    system.loadable.discard("tcp_bbr")
    before = system.snapshot()
    said = failure(system, declare({CONGESTION_CONTROL: "bbr"}, modules=("tcp_bbr",)))
    assert "modprobe -- tcp_bbr: FATAL: Module tcp_bbr not found" in said
    assert system.snapshot() == before


def test_an_interface_that_is_gone() -> None:
    system = host()
    before = system.snapshot()
    said = failure(system, declare({FIN: "30"}, qdiscs={"eth9": "fq"}))
    assert "eth9: there is no such interface" in said
    assert system.snapshot() == before


def test_an_interface_that_goes_away_in_the_middle_does_not_stop_the_restoring() -> None:
    system = host()
    system.add_interface("eth2")
    desired = declare({FIN: "30"}, qdiscs={"eth0": "sfq", "eth2": "sfq"}, queues=1)

    def unplug(step: int) -> None:
        if system.steps[step - 1].startswith("file " + PATH):
            del system.interfaces["eth2"]
        if system.steps[step - 1].startswith("link /etc/systemd/system/multi-user.target.wants/90-"):
            system.fail_at = system.fail_at or step

    system.on_step = unplug
    system.exception = OSError("injected fault")
    said = failure(system, desired)
    assert "eth2" not in system.interfaces
    assert "injected fault" in said
    assert "everything was restored" in said
    assert system.sysctls[FIN] == "60"
    assert system.interfaces["eth0"].leaves == ["fq_codel"] * 3


def test_a_failed_application_leaves_the_qdisc_to_the_kernel_as_it_was() -> None:
    """By the default_qdisc from before, not by the one that was being set."""
    system = host()
    system.ignored.add(FIN)
    assert "is 60 after 30 was set" in failure(system, EVERYTHING, SECRETS)
    assert (system.interfaces["eth0"].handle, system.interfaces["eth0"].leaves) == ("0:", ["fq_codel"] * 3)


def test_absent_leaves_the_qdisc_to_the_kernel() -> None:
    system = host()
    apply(system, EVERYTHING, SECRETS)
    apply(system, NOTHING, {})
    assert system.interfaces["eth0"].handle == "0:"


@pytest.mark.parametrize("path", [PATH, "/etc/modules-load.d/%s.conf" % NAME])
def test_a_directory_in_place_of_a_file_is_refused_before_anything_is_written(path: str) -> None:
    system = host()
    system.put(path, kind="other")
    said = failure(system, declare({CONGESTION_CONTROL: "bbr"}, modules=("tcp_bbr",)))
    assert path in said
    assert system.steps == []


def test_not_root() -> None:
    system = host()
    system.root = False
    said = failure(system, SIMPLE)
    assert said == "changing a host needs root (use become)"
    assert system.steps == []


def test_the_lock_is_held_by_another_run() -> None:
    system = host()
    system.locked_by = "pid 1234"
    assert "held by another run (pid 1234)" in failure(system, SIMPLE)
    assert system.steps == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"format": 2}', '{"format": 1, "keyz": {}}', '{"format": 1, "keys": 5}']
)
def test_a_damaged_record_stops_the_run_before_anything_is_written(text: str) -> None:
    system = host()
    system.put(STATE, text)
    said = failure(system, SIMPLE)
    assert said.startswith(STATE + ": cannot be read as a baseline")
    assert said.endswith("(restore it, or remove it to start from what runs now)")
    assert system.steps == []


def test_a_key_that_may_not_be_written_is_refused_before_anything_is_written() -> None:
    system = host()
    system.limits[RMEM] = "the key is read-only here"
    assert "the key is read-only here" in failure(system, SIMPLE)
    assert system.steps == []


def test_a_file_of_others_that_would_win_is_refused_before_anything_is_written() -> None:
    system = host()
    system.put("/usr/lib/sysctl.d/99-vendor.conf", "\n\n%s = 15\n" % FIN)
    said = failure(system, SIMPLE)
    assert "/usr/lib/sysctl.d/99-vendor.conf:3 sets 15 and would win at the next boot over 30" in said
    assert system.steps == []
    outcome = apply(system, replace(SIMPLE, boot_conflict="warn"), {})
    assert system.sysctls[FIN] == "30"
    assert [finding.severity for finding in outcome.plan.findings] == ["warning"]


# What stood there before


def test_a_module_of_conntrack_that_is_gone_does_not_stop_absent() -> None:
    system = host()
    system.sysctls["net.netfilter.nf_conntrack_max"] = "65536"
    apply(system, declare({"net.netfilter.nf_conntrack_max": "1048576"}), {})
    del system.sysctls["net.netfilter.nf_conntrack_max"]
    apply(system, NOTHING, {})
    assert PATH not in system.files
    assert STATE not in system.files


def test_leaves_that_differ_are_given_back_one_by_one() -> None:
    system = host()
    apply(system, declare({FIN: "30"}, qdiscs={"eth1": "fq_codel"}, queues=3), {})
    assert system.interfaces["eth1"].leaves == ["fq_codel"] * 3
    apply(system, NOTHING, {})
    assert system.interfaces["eth1"].leaves == ["fq_codel", "sfq", "sfq"]


def lose_state(system: FakeSystem) -> None:
    del system.files[STATE]
    system.directories.clear()


def test_with_its_record_lost_a_converged_host_stays_as_it_is() -> None:
    system = host()
    apply(system, EVERYTHING, SECRETS)
    lose_state(system)
    assert apply(system, EVERYTHING, SECRETS).plan.changes == ()


def test_with_its_record_lost_our_values_do_not_become_those_from_before() -> None:
    system = host()
    apply(system, SIMPLE, {})
    lose_state(system)
    apply(system, declare({FIN: "20", "net.ipv4.tcp_retries2": "8"}), {})
    recorded = json.loads(system.files[STATE].text)
    assert recorded["keys"] == {"net.ipv4.tcp_retries2": "15"}
    apply(system, NOTHING, {})
    assert PATH not in system.files
    assert system.sysctls["net.ipv4.tcp_retries2"] == "15"


def test_with_its_record_lost_absent_still_removes_our_files() -> None:
    system = host()
    apply(system, EVERYTHING, SECRETS)
    lose_state(system)
    outcome = apply(system, replace(NOTHING, watched=watched_paths(NAME + ".conf")), {})
    assert not [path for path in system.files if NAME in path]
    assert [finding.severity for finding in outcome.plan.findings] == ["warning"]


def test_two_declarations_keep_apart() -> None:
    system = host()
    before = system.snapshot()
    other = replace(declare({"net.ipv4.tcp_retries2": "8"}), name="80-other")
    other = replace(other, files=(replace(other.files[0], path="/etc/sysctl.d/80-other.conf"),))
    apply(system, SIMPLE, {})
    apply(system, other, {})
    apply(system, NOTHING, {})
    assert system.sysctls["net.ipv4.tcp_retries2"] == "8"
    assert "/etc/sysctl.d/80-other.conf" in system.files
    apply(system, Desired("80-other"), {})
    assert system.snapshot() == before


# Check mode and secrets


@pytest.mark.parametrize("desired", [SIMPLE, EVERYTHING, NOTHING], ids=["simple", "everything", "nothing"])
def test_check_mode_writes_nothing_and_plans_the_same(desired: Desired) -> None:
    system = host()
    before = system.snapshot()
    outcome = inspect(system, desired, SECRETS)
    assert system.steps == []
    assert system.snapshot() == before
    assert outcome.plan == apply(system, desired, SECRETS).plan


def forms(secret: str) -> list[str]:
    return [secret, secret.upper(), *(word for word in secret.split("-"))]


def test_no_secret_leaves_the_host() -> None:
    """Secrets that are wanted, that were there before, and that somebody else wrote: none is in any result."""
    system = host()
    before, foreign = "beef0000-beef0001-beef0002-beef0003", "f00d0000-f00d0001-f00d0002-f00d0003"
    system.sysctls[TFO_KEY] = before
    system.put("/etc/sysctl.d/%s-secret.conf" % NAME, "#%s = %s\n%s = %s\n" % (TFO_KEY, foreign, TFO_KEY, foreign))
    system.put("/etc/sysctl.d/99-z.conf", "net/ipv4/tcp_fastopen_key=%s\n" % foreign.upper())
    desired = replace(EVERYTHING, boot_conflict="warn")
    said: list[Any] = []

    def take(action: Callable[..., Any], wanted: Desired, secrets: dict[str, str], check_mode: bool) -> None:
        outcome = action(system, wanted, secrets)
        said.append([outcome_result(wanted, outcome, check_mode), repr(outcome)])

    take(inspect, desired, SECRETS, True)
    take(apply, desired, SECRETS, False)
    take(apply, desired, SECRETS, False)
    take(inspect, desired, {TFO_KEY: "1-1-1-1"}, True)
    take(inspect, NOTHING, {}, True)
    system.fail_at = len(system.steps) + 4
    said.append(failure(system, NOTHING))
    system.ignored.add(TFO_KEY)
    said.append(failure(system, NOTHING))
    system.ignored.clear()
    take(apply, NOTHING, {}, False)
    text = json.dumps(said)
    for secret in (SECRET, before, foreign):
        for form in forms(secret):
            assert form not in text, form
    assert "<secret %s" % TFO_KEY in text
    assert system.sysctls[TFO_KEY] == before


def test_absent_does_not_leave_a_key_that_everybody_knows() -> None:
    """Zeros mean that the kernel makes a random key at first use; written back, cookies are made of them."""
    system = host()
    nobodys = "-".join(["00000000"] * 4)
    system.sysctls[TFO_KEY] = nobodys
    apply(system, EVERYTHING, SECRETS)
    apply(system, NOTHING, {})
    given = system.sysctls[TFO_KEY]
    assert given not in (nobodys, SECRET)
    assert fast_open_key(given) == given
    # A run that fails does not write zeros either.
    system.sysctls[TFO_KEY] = nobodys
    system.ignored.add(FIN)
    assert "everything was restored" in failure(system, EVERYTHING, SECRETS)
    assert system.sysctls[TFO_KEY] not in (nobodys, given, SECRET)


def test_a_secret_that_did_not_come_along_is_asked_for() -> None:
    system = host()
    before = system.snapshot()
    said = failure(system, EVERYTHING, {})
    assert "its value did not come with this run (give tcp_tuning_fast_open_key)" in said
    assert system.snapshot() == before


# Any declaration

_INTEGERS = {
    FIN: st.integers(1, 3600),
    "net.ipv4.tcp_retries2": st.integers(3, 255),
    "net.ipv4.tcp_keepalive_time": st.integers(1, 32767),
    "net.core.somaxconn": st.integers(128, 65535),
}
_KEYS = st.fixed_dictionaries(
    {},
    optional={
        **{name: numbers.map(str) for name, numbers in _INTEGERS.items()},
        RMEM: st.lists(st.integers(4096, 1 << 30), min_size=3, max_size=3).map(
            lambda numbers: " ".join(str(number) for number in sorted(numbers))
        ),
        CONGESTION_CONTROL: st.sampled_from(["cubic", "bbr", "htcp", "reno"]),
        DEFAULT_QDISC: st.sampled_from(["fq", "fq_codel", "pfifo_fast", "sfq"]),
        "net.ipv4.ip_local_reserved_ports": st.sampled_from(["", "8080", "8080,9000-9010"]),
    },
)
_QDISCS = st.dictionaries(st.sampled_from(["eth0", "eth1"]), st.sampled_from(["fq", "fq_codel", "sfq", "pfifo_fast"]))
_DECLARATIONS = st.builds(
    lambda keys, qdiscs, modules: declare(keys, tuple(sorted(modules)), qdiscs, queues=3),
    _KEYS,
    _QDISCS,
    st.sets(st.sampled_from(["tcp_bbr", "tcp_htcp", "sch_fq"])),
)


@given(_DECLARATIONS)
def test_any_declaration_round_trips(desired: Desired) -> None:
    system = host()
    before = system.snapshot()
    apply(system, desired, {})
    assert inspect(system, desired, {}).plan.changes == ()
    apply(system, NOTHING, {})
    # The kernel loads a module by itself where a key names it; absent unloads those that were declared alone.
    after = system.snapshot()
    by_key = {"tcp_bbr", "tcp_htcp", "sch_fq"}
    assert {**after, "modules": after["modules"] - by_key} == before


@given(st.lists(_DECLARATIONS, min_size=2, max_size=3))
def test_any_sequence_of_declarations_can_be_taken_back(sequence: list[Desired]) -> None:
    system = host()
    before = system.snapshot()
    for desired in sequence:
        apply(system, desired, {})
        for key in desired.keys:
            assert system.sysctls[key.name].split() == key.value.split()
    apply(system, NOTHING, {})
    assert {**system.snapshot(), "modules": set()} == {**before, "modules": set()}


@given(_DECLARATIONS, st.integers(1, 30), st.booleans())
def test_any_declaration_is_applied_whole_or_not_at_all(desired: Desired, step: int, late: bool) -> None:
    system = host()
    before = system.snapshot()
    system.fail_at, system.fail_late = step, late
    if "everything was restored" in attempt(system, desired, {}):
        assert {**system.snapshot(), "modules": set()} == {**before, "modules": set()}
    else:
        assert apply(system, desired, {}).plan.changes == ()


def test_a_declaration_whose_file_gets_another_name_moves() -> None:
    system = host()
    before = system.snapshot()
    keys = (DesiredKey(FIN, "30"), DesiredKey(RMEM, "4096 131072 33554432"))
    for file_name in ("90-a.conf", "95-b.conf", "85-c.conf"):
        kept = keys[:1] if file_name == "85-c.conf" else keys
        desired = build(file_name, render_sysctl_file(kept), kept, ("tcp_bbr",), name=ROLE_DECLARATION)
        apply(system, desired, {})
        assert [path for path in system.files if path.startswith("/etc/sysctl.d/")] == ["/etc/sysctl.d/" + file_name]
        assert not make_plan(desired, inspect(system, desired, {}).observed).changes
    assert system.sysctls[RMEM] != "4096 131072 33554432"
    apply(system, Desired(ROLE_DECLARATION), {})
    assert system.snapshot() == before


def test_a_file_that_ours_would_hide_is_named() -> None:
    system = host()
    hidden = "/usr/lib/sysctl.d/50-default.conf"
    system.files[hidden] = FileState(hidden, "file", 0o644, "kernel.pid_max = 4194304\n")
    keys = (DesiredKey(FIN, "30"),)
    desired = build("50-default.conf", render_sysctl_file(keys), keys, name=ROLE_DECLARATION)
    with pytest.raises(HostError, match=hidden):
        apply(system, desired, {})
    outcome = apply(system, replace(desired, boot_conflict="warn"), {})
    assert [finding.key for finding in outcome.plan.by_severity("warning")] == [hidden]


def test_what_sysctl_d_says_of_a_tunnel_is_nobodys_rival() -> None:
    system = FakeSystem()
    tunnel = Tunnel("wg-wan", settings=("disable_policy=1", "rp_filter=2"))
    (entry,) = [entry for entry in tunnel_files(tunnel, WG_QUICK) if entry.path.startswith("/etc/sysctl.d/")]
    system.put(entry.path, entry.text)
    keys = (DesiredKey(FIN, "30"),)
    outcome = apply(system, build("90-netfleet-tcp.conf", render_sysctl_file(keys), keys), {})
    assert outcome.plan.findings == ()
    assert system.files[entry.path].text == entry.text
