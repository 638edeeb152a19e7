#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An exporter of TCP's metrics for node_exporter, and the flags that node_exporter needs for it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_exporter
short_description: Have a host export what node_exporter does not know of its TCP
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Installs a program of the standard library alone that looks at TCP as M(netfleet.tcp.tcp_health_info) does, by the
    same code, and leaves metrics in node_exporter's directory for text files - RTT by class of peers, connections by
    service, local ports, queues of listeners, and how far what was declared still holds.
  - A timer of systemd runs it, bounded in time, processor and memory, and with few of root's powers.
  - Gives Debian's node_exporter the flags that it needs (C(--collector.textfile.directory) and
    C(--collector.netstat.fields) in C(/etc/default/prometheus-node-exporter)). All its other flags stay. Where they
    change, it is restarted.
  - It is no change of TCP. M(netfleet.tcp.tcp_rollback) does not take it back; O(state=absent) does.
  - All or nothing. Where the exporter does not run, or node_exporter ends with its flags, the host is as before.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.changes
  - netfleet.tcp.attributes.result_notes
attributes:
  action:
    description: What the inventory says of peers and targets is put together on the controller.
    support: full
options:
  state:
    description:
      - V(absent) takes the exporter and its metrics away, and gives node_exporter the flags back that it had, but for
        those that somebody has changed since.
    type: str
    choices: [present, absent]
    default: present
  interval:
    description: Seconds between two looks, from V(15) to V(3600).
    type: int
    default: 60
  services:
    description: How many services, listening sockets and ports are named, from V(1) to V(100). What is cut is counted.
    type: int
    default: 20
  directory:
    description:
      - Where node_exporter reads text files. Empty for the one that its flags name, else
        C(/var/lib/prometheus/node-exporter). Made where it is missing, in a directory that is there.
      - Refused where text files of others in C(/var/lib/prometheus/node-exporter) would be read no more.
    type: str
    default: ""
  node_exporter_flags:
    description:
      - Whether the flags in C(/etc/default/prometheus-node-exporter) are this module's to set.
      - With V(true), a node_exporter that runs without them is restarted. With V(false), the file is left alone, but
        for what this module has set there before, which is taken back.
    type: bool
    default: true
  groups:
    description: By which the dashboard is to find the host. Not given, the groups of the inventory that it is in.
    type: list
    elements: str
    default: []
  peers:
    description:
      - Classes of peers, as O(netfleet.tcp.tcp_health_info#module:peers). Not given, they are what C(tcp_health_peers)
        says.
      - Those that the inventory tells by itself are added, as in the playbook C(netfleet.tcp.health).
    type: dict
    default: {}
  targets:
    description:
      - What is to be met, in percent; V(0) for none. Alerts go by it.
      - Not given, it is what C(tcp_health_targets) says, and for the rest the host's profile.
    type: dict
    default: {}
    suboptions:
      client_success:
        description: More than so many of the connections that the host opens are established.
        type: float
        default: 99.9
      server_success:
        description: More than so many of the connections to its listeners are accepted.
        type: float
        default: 99.9
      retransmission:
        description: Less than so many of the data segments that it sends are retransmissions.
        type: float
        default: 0.5
      syn_retransmission:
        description: Less than so many SYNs and SYN-ACKs are sent again, by connections opened and accepted.
        type: float
        default: 2.0
  rtt_targets:
    description:
      - By class of peers, milliseconds below which the mean RTT is to be, as
        O(netfleet.tcp.tcp_health_info#module:rtt_targets). Not given, it is what C(tcp_health_rtt_targets) says.
    type: dict
    default: {}
requirements:
  - systemd; Debian's prometheus-node-exporter, unless O(node_exporter_flags=false)
seealso:
  - module: netfleet.tcp.tcp_health_info
"""

EXAMPLES = r"""
- name: Have Prometheus see TCP
  netfleet.tcp.tcp_exporter:
    peers:
      local: [10.10.0.0/16]
      cloud: [10.20.0.0/16]
  become: true
"""

RETURN = r"""
before:
  description: What stood there before, by subject (file, service) and path or unit.
  returned: success
  type: dict
after:
  description: The same after the run (in check mode - as planned).
  returned: success
  type: dict
changes:
  description: Each difference that was removed, with C(subject), C(key), C(want) and C(running).
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_asked import wanted_from
from ansible_collections.netfleet.tcp.plugins.module_utils._exporter_change import bring, take_away
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import TARGETS
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, bring about, exit."""
    targets = {name: dict(type="float", default=target) for name, target in TARGETS.items()}
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["present", "absent"], default="present"),
            interval=dict(type="int", default=60),
            services=dict(type="int", default=20),
            directory=dict(type="str", default=""),
            node_exporter_flags=dict(type="bool", default=True),
            groups=dict(type="list", elements="str", default=[]),
            peers=dict(type="dict", default={}),
            targets=dict(type="dict", default={}, options=targets),
            rtt_targets=dict(type="dict", default={}),
        ),
        supports_check_mode=True,
    )

    def work() -> dict:
        if module.params["state"] == "absent":
            return take_away(LinuxSystem(), module.check_mode)
        return bring(LinuxSystem(), wanted_from(module.params), module.check_mode)

    run_module(module, work)


if __name__ == "__main__":
    main()
