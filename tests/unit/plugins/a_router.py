# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in memory with FRR, as Debian installs it: which daemons run, and by which configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ansible_collections.netfleet.tcp.plugins.module_utils import _frr_daemon as daemon
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import CONFIGURATION, DAEMONS_FILE
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from tests.unit.plugins.fake_system import FakeSystem

FIXTURES = Path(__file__).parents[1] / "fixtures" / "frr"
OURS = "# Managed by netfleet.tcp\nrouter bgp 4200000001\n"
DEBIAN = "log syslog informational\n"
DAEMONS = "bgpd=no\nbfdd=no\nospfd=no\n"
WITH_BGP = "bgpd=yes\nbfdd=yes\nospfd=no\n"
FRR = 102  # user and group
CHECK = "vtysh -C -f /etc/frr/frr.conf.netfleet-tcp"
RELOAD = "%s --reload %s" % (daemon.RELOAD, CONFIGURATION)
FOLDER = "/var/lib/netfleet-tcp/frr"
RELOAD_FROM_FOLDER = "{0} --reload --confdir {1} {1}/frr.conf".format(daemon.RELOAD, FOLDER)
FORWARD = {"no ip forwarding": "net.ipv4.ip_forward", "no ipv6 forwarding": "net.ipv6.conf.all.forwarding"}
ENABLE, RESTART = "systemctl enable frr.service", "systemctl restart frr.service"


class ARouter(FakeSystem):
    """refuses: what a command whose words contain it answers. live: the configuration that FRR runs by.

    hangs: it does not say what runs, until it is started anew.
    """

    def __init__(self, configuration: str | None = DEBIAN, daemons: str | None = DAEMONS) -> None:
        super().__init__()
        self.ran: list[str] = []
        self.refuses: dict[str, str] = {}
        self.running = "zebra staticd"
        self.live = configuration or ""
        self.enabled = True
        self.hangs = False
        self.answers = [
            (FIXTURES / name).read_text(encoding="utf-8") for name in ("bgp-summary.json", "bfd-peers.json")
        ]
        for path, text in ((CONFIGURATION, configuration), (DAEMONS_FILE, daemons)):
            if text is not None:
                self.files[path] = FileState(path, "file", 0o640, text, uid=FRR, gid=FRR)
                self.put(daemon.RELOAD, "...")

    def text(self, path: str) -> str:
        """What stands in a file."""
        return self.files[path].text

    @property
    def state(self) -> tuple[str, str, str, str, bool]:
        """All of FRR: both files, what runs, and whether it does after a boot."""
        return self.text(CONFIGURATION), self.text(DAEMONS_FILE), self.live, self.running, self.enabled

    def start(self) -> None:
        """FRR reads its files, as it does at boot."""
        on = [name for name in ("bgpd", "bfdd") if name + "=yes" in self.text(DAEMONS_FILE)]
        self.running, self.hangs = " ".join(["zebra", "staticd", *on]), False
        self.live = self.read(CONFIGURATION) or ""

    def run(self, argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        # What may hang has a time.
        words = list(argv[4:]) if argv[0] == "timeout" else list(argv)
        line = " ".join(words)
        if line == "systemctl is-active --quiet frr.service":
            return 0 if self.running else 3, "", ""
        if line == "vtysh -c show daemons" and self.running and not self.hangs:
            return 0, self.running + "\n", ""
        if line == "vtysh -c show daemons":
            return 1, "", "failed to connect to any daemons."
        if line == "systemctl is-enabled --quiet frr.service":
            return 0 if self.enabled else 1, "", ""
        if line.startswith("vtysh -c show"):
            return (
                (0, self.answers["bfd" in line], "") if self.answers else (1, "", "failed to connect to any daemons.")
            )
        if words[0] in ("vtysh", daemon.RELOAD) or "frr.service" in words:
            return self._frr(line)
        return super().run(argv, stdin)

    def _frr(self, line: str) -> tuple[int, str, str]:
        assert self.lock_held, line
        if self.dead:
            raise self.exception
        self.ran.append(line)
        for words, said in self.refuses.items():
            if words in line:
                return 1, "", said
        try:
            self._step(line, lambda: self._effect(line))
        except OSError as error:
            return 1, "", str(error)
        return 0, "", ""

    def _effect(self, line: str) -> None:
        if line == RESTART:
            self.start()
        elif line == RELOAD:
            self._reload(self.text(CONFIGURATION))
        elif line == RELOAD_FROM_FOLDER:
            assert "integrated" in self.text(FOLDER + "/vtysh.conf")
            self._reload(self.text(FOLDER + "/frr.conf"))
        elif line == "systemctl stop frr.service":
            self.running = self.live = ""
        elif line in (ENABLE, "systemctl disable frr.service"):
            self.enabled = line == ENABLE

    def _reload(self, text: str) -> None:
        """What FRR says of a kernel that does not forward, and a file does not, is undone as any other line."""
        for line, key in FORWARD.items():
            if self.sysctls.get(key) == "0" and line not in text:
                self.sysctls[key] = "1"
            text = text.replace(line + "\n", "")
        self.live = text
