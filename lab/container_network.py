# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge that the containers of one instance share with this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.fleet import Host
from lab.run import run

OUR_ALIAS = "netfleet.tcp-lab"
GATEWAY_ID = 254


@dataclass(frozen=True)
class Network:
    """The fleet's network of one instance: 10.77.<100 + instance>.0/24, this machine being .254 in it."""

    instance: int
    prefix: str  # the first three numbers, e.g. 10.77.100

    @property
    def bridge(self) -> str:
        """The name of the bridge."""
        return f"netfleet-lab-{self.instance}"  # 14 characters; the kernel's limit is 15

    @property
    def gateway(self) -> str:
        """This machine's address in the network."""
        return f"{self.prefix}.{GATEWAY_ID}"

    def card(self, host: Host) -> dict[str, str]:
        """What the hook needs to know to attach a host."""
        return {
            "bridge": self.bridge,
            "veth": f"nfl{self.instance}-{host.lab_id}",
            "mac": f"02:4e:46:00:{self.instance:02x}:{host.lab_id:02x}",
            "address": f"{host.address}/24",
            "gateway": self.gateway,
        }

    def ensure(self) -> None:
        """Make the bridge unless it is there.

        :raises LabError: the machine uses the network for something else.
        """
        if self._is_ours():
            return
        self._refuse_used_network()
        steps = (
            f"link add name {self.bridge} type bridge",
            f"link set dev {self.bridge} alias {OUR_ALIAS}",
            f"address add {self.gateway}/24 dev {self.bridge}",
            f"link set dev {self.bridge} up",
        )
        run(["ip", "-batch", "-"], stdin="\n".join(steps) + "\n", what=f"creating the bridge {self.bridge}")
        # The hosts have a default route as real ones do, but nothing that they send may leave this machine.
        Path(f"/proc/sys/net/ipv4/conf/{self.bridge}/forwarding").write_text("0", encoding="ascii")

    def remove(self) -> None:
        """Delete the bridge if it is there and ours."""
        if self._is_ours():
            run(["ip", "link", "delete", "dev", self.bridge], what=f"removing the bridge {self.bridge}")

    def _is_ours(self) -> bool:
        done = run(["ip", "-json", "link", "show", "dev", self.bridge], what="looking for the bridge", check=False)
        if done.returncode != 0:
            return False
        if json.loads(done.stdout)[0].get("ifalias") == OUR_ALIAS:
            return True
        raise LabError(
            f"network device {self.bridge}: it exists but the lab did not make it; rename or delete it "
            "(ip link delete), or choose another instance with NETFLEET_LAB_OFFSET"
        )

    def _refuse_used_network(self) -> None:
        prefix = f"{self.prefix}.0/24"
        done = run(["ip", "-json", "-4", "route", "show", "root", prefix], what=f"looking for routes to {prefix}")
        routes = json.loads(done.stdout or "[]")
        if routes:
            where = routes[0].get("dev", "another route")
            raise LabError(
                f"network {prefix}: this machine already routes {routes[0].get('dst')} to {where}; "
                "choose another instance with NETFLEET_LAB_OFFSET (0 to 9)"
            )
