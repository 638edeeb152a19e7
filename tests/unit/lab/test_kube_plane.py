# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509

from lab import kube_pki, kube_plane
from lab.errors import LabError
from lab.kube_plane import ADMIN, PROGRAMS, PROXY, Plane
from lab.paths import REPOSITORY, Settings
from lab.processes import Process
from lab.run import Progress


@pytest.fixture
def plane(tmp_path: Path) -> Plane:
    environment = {"NETFLEET_LAB_OFFSET": "3", "NETFLEET_LAB_DIR": str(tmp_path / "state"), "HOME": str(tmp_path)}
    return Plane(Settings.from_environment(environment))


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    directory = tmp_path / "pki"
    directory.mkdir()
    kube_pki.make_authority(directory)
    return directory


def test_instances_do_not_meet(plane: Plane) -> None:
    assert (plane.address, plane.relayed) == ("10.77.103.254:6443", "127.0.0.1:23154")


def test_every_program_has_a_command_and_none_listens_for_others_but_the_api(plane: Plane) -> None:
    commands = plane.commands(Path("/programs"))
    assert tuple(commands) == PROGRAMS
    for name, argv in commands.items():
        assert argv[0] == f"/programs/{name}"
        # Two of the same kind would be a mistake: the last one counts.
        flags = [word.partition("=")[0] for word in argv[1:]]
        assert len(flags) == len(set(flags))
    assert "--authorization-mode=Node,RBAC" in commands["kube-apiserver"]
    for name in ("kube-controller-manager", "kube-scheduler"):
        assert "--bind-address=127.0.0.1" in commands[name]


def test_missing_programs_are_told_before_anything_is_touched(plane: Plane, tmp_path: Path) -> None:
    (tmp_path / "etcd").touch(mode=0o755)
    with pytest.raises(LabError, match=r"no program kube-apiserver, .*tools\.kube_binaries makes them"):
        plane.up(tmp_path, Progress(quiet=True))
    assert not plane.directory.exists()


def test_a_client_is_who_its_certificate_says_and_one_authority_vouches_for_all(pki: Path) -> None:
    kube_pki.issue(pki, "one", "system:node:one", ["system:nodes"], ["one", "10.77.103.11"])
    certificate = x509.load_pem_x509_certificate((pki / "one.crt").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=system:node:one,O=system:nodes"
    authority = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes())
    certificate.verify_directly_issued_by(authority)
    assert (pki / "one.key").stat().st_mode & 0o077 == 0
    assert (pki / "accounts.pub").read_text(encoding="ascii").startswith("-----BEGIN PUBLIC KEY")


def test_both_ends_trust_each_other(pki: Path) -> None:
    """As Python 3.13 checks certificates: strictly."""
    kube_pki.issue(pki, "server", "server", hosts=["127.0.0.1"])
    kube_pki.issue(pki, "client", "client")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "ca.crt"))
    server.load_cert_chain(str(pki / "server.crt"), str(pki / "server.key"))
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    client.load_cert_chain(str(pki / "client.crt"), str(pki / "client.key"))
    for context in (server, client):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server(("127.0.0.1", 0)) as listener:
        said: list[bytes] = []

        def serve() -> None:
            connection, _address = listener.accept()
            with server.wrap_socket(connection, server_side=True) as secured:
                said.append(secured.recv(16))
                secured.sendall(b"yes")

        thread = threading.Thread(target=serve)
        thread.start()
        with client.wrap_socket(
            socket.create_connection(listener.getsockname()), server_hostname="127.0.0.1"
        ) as secured:
            secured.sendall(b"really?")
            assert secured.recv(16) == b"yes"
        thread.join()
    assert said == [b"really?"]


def test_a_kubeconfig_has_all_that_is_needed(plane: Plane) -> None:
    plane.pki.mkdir(parents=True)
    kube_pki.make_authority(plane.pki)
    kube_pki.issue(plane.pki, PROXY, "system:kube-proxy")
    found = json.loads(plane.kubeconfig(PROXY, plane.address))
    (cluster,), (user,) = found["clusters"], found["users"]
    assert cluster["cluster"]["server"] == "https://10.77.103.254:6443"
    assert base64.b64decode(user["user"]["client-key-data"]).startswith(b"-----BEGIN PRIVATE KEY")
    assert plane.admin.name == f"{ADMIN}.kubeconfig"


def test_down_ends_what_runs_and_forgets_it(plane: Plane) -> None:
    plane.directory.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as running:
        process = Process.of(running.pid)
        assert process is not None
        process.write(plane.directory / "etcd.pid")
        plane.down()
        assert running.wait(5.0) != 0
    assert not plane.directory.exists()
    plane.down()


def test_what_ends_too_soon_is_told_with_its_last_words(plane: Plane) -> None:
    plane.pki.mkdir(parents=True)
    kube_pki.make_authority(plane.pki)
    kube_pki.issue(plane.pki, ADMIN, "admin")
    (plane.directory / "etcd.log").write_text("no space left\n", encoding="utf-8")
    with pytest.raises(LabError, match=r"(?s)etcd has ended:.*no space left"):
        plane._wait("/readyz")


def test_the_command_line_tells_who_may(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(kube_plane.os, "geteuid", lambda: 1000)
    assert kube_plane.main(["down"]) == 1
    assert "be root" in capsys.readouterr().err


def test_the_relay_passes_on_what_both_ends_say() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there, socket.create_server(("127.0.0.1", 0)) as here:

        def serve() -> None:
            connection, _address = there.accept()
            with connection:
                connection.sendall(connection.recv(64).upper())

        thread = threading.Thread(target=serve)
        thread.start()
        words = [sys.executable, "-m", "lab.kube_relay", str(here.fileno()), "127.0.0.1", str(there.getsockname()[1])]
        with subprocess.Popen(words, pass_fds=[here.fileno()], cwd=REPOSITORY) as relay:
            try:
                with contextlib.closing(socket.create_connection(here.getsockname(), timeout=20.0)) as connection:
                    connection.settimeout(20.0)
                    connection.sendall(b"hello\n")
                    assert connection.recv(64) == b"HELLO\n"
                    assert connection.recv(64) == b""
            finally:
                relay.kill()
        thread.join()
