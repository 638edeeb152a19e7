# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import socket
import struct
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from lab import vm_accel, vm_guest, vm_supervisor
from lab.errors import LabError
from lab.fleet import Host
from lab.run import Progress
from lab.suites import KNOWN
from lab.tree import mmdebstrap_argv
from lab.vm_backend import refuse_other_suites
from lab.vm_host import CLEAN, Vm, archive
from lab.vm_image import Image, customise
from lab.vm_network import FleetNetwork
from lab.vm_qemu import MONITOR, Monitor, VmSpec, qemu_argv
from lab.vm_supervisor import CONSOLE, SPEC

HOST = Host("cloud1", 21, "bookworm", ("cloud",), "10.77.100.21", 22021)
SPECIFICATION = VmSpec(
    "cloud1", "/cache/vm-x", "tcg", 512, 22021, "52:54:00:aa:00:01", "52:54:00:bb:00:15", "ns", "tap21"
)


def image_of(directory: Path, suite: str) -> Image:
    directory.mkdir(parents=True)
    (directory / "image.json").write_text(json.dumps({"suite": suite, "kernel": "6.1"}), encoding="utf-8")
    return Image.load(directory)


# The command line of QEMU


def test_ssh_is_forwarded_from_loopback_only_and_the_guest_reaches_nobody() -> None:
    argv = qemu_argv(SPECIFICATION, 7)
    assert "user,id=management,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:22021-:22" in argv
    assert "tap,id=fleet,fd=7" in argv
    assert argv[argv.index("-accel") + 1] == "tcg,thread=multi"
    assert argv[argv.index("-cpu") + 1] == "Westmere"
    assert "-no-reboot" in argv
    assert "panic=-1" in argv[argv.index("-append") + 1].split()


def test_a_snapshot_is_loaded_only_when_asked_for() -> None:
    assert "-loadvm" not in qemu_argv(SPECIFICATION, 7)
    assert qemu_argv(SPECIFICATION, 7, from_snapshot=True)[-2:] == ["-loadvm", "clean"]
    assert qemu_argv(replace(SPECIFICATION, accelerator="kvm"), 7)[3:5] == ["-accel", "kvm"]


def test_specification_survives_its_file_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / SPEC
    SPECIFICATION.write(path)
    assert VmSpec.read(path) == SPECIFICATION
    path.write_text('{"name": "x"}', encoding="utf-8")
    with pytest.raises(LabError, match="not a description of a virtual machine"):
        VmSpec.read(path)


# QEMU's monitor


def answer(directory: Path, replies: list[object]) -> threading.Thread:
    """A monitor that greets and gives these replies."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(directory / MONITOR))
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with server, connection, connection.makefile("rw") as stream:
            for reply in [{"QMP": {}}, *replies]:
                stream.write(json.dumps(reply) + "\n")
                stream.flush()
                if "event" not in str(reply):
                    stream.readline()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_monitor_passes_over_events(tmp_path: Path) -> None:
    thread = answer(tmp_path, [{"return": {}}, {"event": "STOP"}, {"return": ""}])
    with Monitor.connect(tmp_path) as monitor:
        monitor.human("savevm clean")
    thread.join(5)


def test_monitor_tells_what_qemu_refuses(tmp_path: Path) -> None:
    answer(tmp_path, [{"return": {}}, {"return": "Error: no snapshot\r\n"}])
    with pytest.raises(LabError, match="savevm clean: Error: no snapshot"), Monitor.connect(tmp_path) as monitor:
        monitor.human("savevm clean")
    with pytest.raises(LabError, match="does not answer"), Monitor.connect(tmp_path):
        pass


# The supervisor, with a program in QEMU's place


def fake_qemu(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    tools = directory / "tools"
    tools.mkdir()
    program = tools / "qemu-system-x86_64"
    program.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")


EVENTS = """
import json, pathlib, sys
runs = pathlib.Path("runs")
number = len(runs.read_text()) if runs.exists() else 0
runs.write_text("x" * (number + 1))
with open("console.log", "a") as console:
    console.write(LINES[number])
sys.stdin.readline()
print(json.dumps({"event": "SHUTDOWN", "data": {"guest": True, "reason": REASONS[number]}}), flush=True)
"""


@pytest.mark.parametrize(
    ("reasons", "lines", "runs", "note"),
    [
        (["guest-reset", "guest-shutdown"], ["a", "b"], 2, "QEMU is started again"),
        (["guest-shutdown"], ["bye"], 1, "bye"),
        (["host-qmp-system-reset", "guest-shutdown"], ["a", "b"], 2, "QEMU is started again"),
        (["guest-reset"], ["Kernel panic - not syncing"], 1, "panicked: it stays off"),
    ],
)
def test_supervisor_follows_the_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reasons: list[str], lines: list[str], runs: int, note: str
) -> None:
    fake_qemu(tmp_path, monkeypatch, f"REASONS = {reasons!r}\nLINES = {lines!r}\n{EVENTS}")
    image_directory = tmp_path / "image"
    image_directory.mkdir()
    (image_directory / "in-use").touch()
    machine = tmp_path / "machine"
    machine.mkdir()
    replace(SPECIFICATION, image=str(image_directory)).write(machine / SPEC)
    (machine / vm_supervisor.PID).write_text("1 1\n", encoding="ascii")
    monkeypatch.chdir(machine)
    monkeypatch.setattr(vm_supervisor, "open_tap", lambda *_: 0)
    monkeypatch.setattr(sys, "argv", ["supervisor", str(machine)])
    monkeypatch.setattr(vm_supervisor.signal, "signal", lambda *_: None)
    assert vm_supervisor.main() == 0
    assert len((machine / "runs").read_text(encoding="utf-8")) == runs
    assert note in (machine / CONSOLE).read_text(encoding="utf-8")
    assert not (machine / vm_supervisor.PID).exists()


# Whether KVM works


def test_probe_believes_only_a_guest_that_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = image_of(tmp_path / "image", "sid")
    fake_qemu(tmp_path, monkeypatch, "print('netfleet-lab: the initrd runs')")
    assert vm_accel.kvm_boots(image)
    (tmp_path / "tools" / "qemu-system-x86_64").write_text("#!/bin/sh\necho SeaBIOS\n", encoding="utf-8")
    assert not vm_accel.kvm_boots(image)
    (tmp_path / "tools" / "qemu-system-x86_64").write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    assert not vm_accel.kvm_boots(image, seconds=0.3)


def test_answer_of_the_probe_holds_until_the_next_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = image_of(tmp_path / "image", "sid")
    probes: list[Image] = []

    def kvm_boots(image: Image) -> bool:
        probes.append(image)
        return False

    monkeypatch.setattr(vm_accel, "kvm_boots", kvm_boots)
    monkeypatch.setattr(vm_accel.os, "access", lambda *_: True)
    quiet = Progress(quiet=True)
    for _ in range(2):
        assert vm_accel.choose_accelerator(image, tmp_path, quiet, {}) == "tcg"
    assert len(probes) == 1
    answer_file = tmp_path / vm_accel.ANSWER
    answer_file.write_text(json.dumps({"boot": "another", "accelerator": "kvm"}), encoding="utf-8")
    assert vm_accel.choose_accelerator(image, tmp_path, quiet, {}) == "tcg"
    assert len(probes) == 2
    assert vm_accel.choose_accelerator(image, tmp_path, quiet, {"NETFLEET_LAB_ACCEL": "kvm"}) == "kvm"
    with pytest.raises(LabError, match="choose one of kvm, tcg"):
        vm_accel.choose_accelerator(image, tmp_path, quiet, {"NETFLEET_LAB_ACCEL": "xen"})


# The guest


def test_customised_tree_boots_what_it_should(tmp_path: Path) -> None:
    wants = tmp_path / "etc/systemd/system/timers.target.wants"
    wants.mkdir(parents=True)
    (wants / "apt-daily.timer").symlink_to("/lib/systemd/system/apt-daily.timer")
    customise(tmp_path)
    customise(tmp_path)  # once more changes nothing and fails on nothing
    system = tmp_path / "etc/systemd/system"
    assert not (wants / "apt-daily.timer").is_symlink()
    assert (system / "tmp.mount").readlink() == Path("/dev/null")
    enabled = system / "multi-user.target.wants/lab-network.service"
    assert (tmp_path / str(enabled.readlink()).lstrip("/")).is_file()
    assert (tmp_path / "root/.ssh").stat().st_mode & 0o777 == 0o700


def test_what_the_collection_deals_with_is_not_masked() -> None:
    kept = {"systemd-sysctl", "systemd-modules-load", "systemd-udevd", "systemd-udev-trigger", "dbus", "ssh", "iperf3"}
    assert not kept & {unit.rsplit(".", 1)[0] for unit in vm_guest.MASKED_UNITS}


def test_identity_reaches_the_host_as_files_of_root() -> None:
    files = vm_guest.identity("cloud1", "10.77.100.21", "127.0.0.1 localhost\n", "ssh-ed25519 AAAA lab")
    with tarfile.open(fileobj=io.BytesIO(archive(files))) as tar:
        members = {member.name: member for member in tar}
        keys = members["root/.ssh/authorized_keys"]
        network = tar.extractfile(vm_guest.NETWORK_FILE.lstrip("/"))
        assert network is not None
        commands = network.read().decode()
    assert (keys.mode, keys.uid, keys.gid) == (0o600, 0, 0)
    assert members["etc/hostname"].size == len("cloud1\n")
    assert "addr replace 10.77.100.21/24 dev eth1\n" in commands
    assert "dev eth0" in commands


# A machine and its network


def test_port_of_another_program_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(LabError, match=rf"cloud1: port {port} of 127.0.0.1 is held by process \d+ .*OFFSET"):
            Vm(replace(HOST, port=port), tmp_path, 0).refuse_held_port()


def test_another_suite_is_refused_only_when_state_would_be_lost(tmp_path: Path) -> None:
    image = image_of(tmp_path / "image", "trixie")
    machine = Vm(HOST, tmp_path / "cloud1", 0)
    machine.directory.mkdir()
    replace(SPECIFICATION, image=str(image.directory)).write(machine.directory / SPEC)
    refuse_other_suites([machine])
    (machine.directory / CLEAN).touch()
    with pytest.raises(LabError, match="cloud1 was made with trixie and should have bookworm; run lab up --fresh"):
        refuse_other_suites([machine])
    (image.directory / "image.json").unlink()  # the cache was removed: nothing is left to keep
    assert not machine.clean


def test_a_machine_is_ended_whatever_its_specification_says(tmp_path: Path) -> None:
    (tmp_path / SPEC).write_text("{", encoding="utf-8")
    assert Vm.existing(tmp_path).processes() == []


def test_network_of_another_clone_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = FleetNetwork("netfleet-test-none", tmp_path)
    monkeypatch.setattr(network, "_exists", lambda: True)
    monkeypatch.setattr(network, "_links", lambda: {"lab0": "/other/clone/.lab/demo"})

    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("nothing may be run")

    monkeypatch.setattr("lab.vm_network.run", refuse)
    with pytest.raises(LabError, match=r"belongs to /other/clone/\.lab/demo"):
        network.ensure([HOST])
    network.remove()


def test_tap_request_has_the_kernel_s_size() -> None:
    assert struct.calcsize("16sH22x") == 40  # struct ifreq


# The tree


def test_archived_suites_do_without_security_updates() -> None:
    hooks = [word for word in mmdebstrap_argv(KNOWN["bullseye"], Path("t.tar")) if word.startswith("--setup-hook")]
    assert len(hooks) == 1
    assert "security" in hooks[0]
    argv = mmdebstrap_argv(KNOWN["trixie"], Path("t.tar"))
    assert not [word for word in argv if word.startswith("--setup-hook")]
    assert argv[-2:] == ["trixie", "t.tar"]
