#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How well a host's TCP does: what it counts, its sockets, and what is likely wrong."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_health_info
short_description: How well a host's TCP does, against targets, with likely causes
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Judges what TCP has counted over some time - connections established and accepted, segments and SYNs sent again -
    against targets. A verdict says V(not enough traffic) where too little was counted to tell.
  - Reads every TCP socket from the kernel - RTT by class of peers, retransmission, states, what limits connections,
    local ports in use, queues of listeners, connections by service.
  - Watches connections of the host to itself - how many short ones there are, who opens them to which service, what
    they cost.
  - Names what is wrong, with a likely cause.
  - By the standard library alone, without any program on the host. It changes nothing, and keeps no state there.
  - Counters and sockets are those of the network namespace that the module runs in; those of containers with
    namespaces of their own are not seen.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
options:
  interval:
    description:
      - Seconds to count over; the module takes so long. At most V(300).
      - V(0) counts from O(since), or from the host's boot where that is not given.
    type: float
    default: 0
  since:
    description:
      - The RV(sample) of an earlier run on the same host, to count from. Not with O(interval).
      - Where the host was booted since, it is counted from that boot; RV(limits) says so.
    type: dict
    default: {}
  peers:
    description:
      - Classes of peers by name, each with a list of prefixes, such as C(local), C(cloud) and C(tunnel). The longest
        prefix that holds an address decides; peers in none are of the class C(other).
      - IPv4 addresses in IPv6 (C(::ffff:192.0.2.1)) count as IPv4.
    type: dict
    default: {}
  targets:
    description: What is to be met, in percent; V(0) for none.
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
      - By class of peers, milliseconds below which the mean RTT is to be; V(0) for none. C(other) can have one too.
      - For classes of the names C(local) and C(cloud), V(5) and V(50) where nothing else is given.
    type: dict
    default: {}
  top:
    description: How many entries the longest lists keep, from V(1) to V(100).
    type: int
    default: 10
requirements:
  - Linux with the kernel's tcp_diag; root, to see whose the listening sockets of other users are
seealso:
  - module: netfleet.tcp.tcp_counters
  - module: netfleet.tcp.tcp_facts
"""

EXAMPLES = r"""
- name: Look for ten seconds
  netfleet.tcp.tcp_health_info:
    interval: 10
    peers:
      local: [10.10.0.0/16]
      cloud: [10.20.0.0/16, 2001:db8:20::/48]
      tunnel: [10.99.0.0/24]
    rtt_targets: {tunnel: 80}
  become: true
  register: health

- name: Say what is wrong
  ansible.builtin.debug:
    msg: "{{ health.findings | map(attribute='reason') }}"

- name: Look again, from where the last look ended
  netfleet.tcp.tcp_health_info:
    since: "{{ health.sample }}"
"""

RETURN = r"""
sample:
  description:
    - What TCP has counted by now, for O(since) of a later run. C(counters) by the names of nstat, C(uptime) in seconds,
      and of which C(boot) and network namespace (C(netns)) they are.
  returned: success
  type: dict
counted:
  description:
    - What was counted. C(since) says since when - V(sample), V(interval), V(boot), or empty where nothing can be said,
      for which RV(limits) has the reason; C(seconds) how long; C(counters) by the names of nstat.
  returned: success
  type: dict
indicators:
  description:
    - C(client_success), C(server_success), C(retransmission) and C(syn_retransmission), without those that the kernel
      does not count.
    - Of each C(numerator), C(denominator) (the size of the sample), C(percent) (null of none), C(low) and C(high)
      (percent, each with 95 % confidence), C(target) in percent, C(verdict) - V(met), V(not met) or
      V(not enough traffic) - and C(needed), the size of a sample that would meet the target if nothing failed.
    - A connection that the application gives up before TCP does is in none of these counts but the SYNs sent again.
  returned: success
  type: dict
  sample:
    client_success:
      numerator: 2988
      denominator: 3000
      percent: 99.6
      low: 99.3516
      high: 99.7701
      target: 99.9
      needed: 2996
      verdict: not met
fast_open:
  description:
    - Connections by TCP fast open as C(client), C(client_failed), C(server), C(server_failed), C(server_queue_full),
      C(cookies_requested) and C(blackholes), without those that the kernel does not count.
  returned: success
  type: dict
sockets:
  description: All TCP sockets as they are.
  returned: success
  type: dict
  contains:
    states:
      description: How many are in each state, by the names of ss.
      returned: success
      type: dict
      sample: {ESTAB: 812, LISTEN: 9, TIME-WAIT: 4031}
    congestion_control:
      description: How many established connections have each.
      returned: success
      type: dict
    loopback:
      description: Established connections of the host to itself. Both ends count.
      returned: success
      type: int
    outgoing:
      description: Established connections from local ports that nobody listens on.
      returned: success
      type: int
    peers:
      description:
        - By class of peers, the established C(connections) (without those to the host itself), and of these, each since
          it began, C(retransmitted) segments (SYNs included) beside C(segments) with data, C(busy) milliseconds
          with data to send, of which C(receive_window_limited) by the peer and C(send_buffer_limited) by the own
          buffer; how many are C(without_window_scale).
        - C(rtt) is that of the C(connections) that have one and sent and received within a minute, in milliseconds -
          C(mean), with its bounds C(low) and C(high) of 95 % confidence (null of less than five) and its standard
          C(deviation), C(p50), C(p95), and C(minimum_p50), the median of their lowest; C(target) and C(verdict) as in
          RV(indicators).
      returned: success
      type: dict
    retransmitting:
      description:
        - The connections that have sent the most segments again - C(local), C(peer), C(peer_class), C(rtt) in
          milliseconds, C(retransmitted) and C(segments).
      returned: success
      type: list
      elements: dict
    without_window_scale:
      description: Some of the connections without it, in the same shape.
      returned: success
      type: list
      elements: dict
    listeners:
      description:
        - The listening sockets with the fullest queues - C(address), C(port), C(backlog) (connections that wait to be
          accepted), C(limit) of these, C(drops) (connections that found no room, since it listens), and C(holder) with
          C(process), C(pid), C(unit) (of systemd) and C(container).
      returned: success
      type: list
      elements: dict
    services:
      description: The local ports with the most established connections - C(port), C(connections), C(holders) as above.
      returned: success
      type: list
      elements: dict
ports:
  description:
    - Local ports for outgoing connections. C(available) are those of C(net.ipv4.ip_local_port_range) that are not
      reserved, from each address to each other address and port.
    - C(most_used) has the addresses with the most of them in use - C(source), C(destination), C(port), C(time_wait)
      and C(open) connections, and C(percent) of what is available.
  returned: success
  type: dict
loopback:
  description: Connections of the host to itself.
  returned: success
  type: dict
  contains:
    opened_at_most:
      description:
        - How many a second there can have been, however they end, as the counters say - the fewer of all that were
          opened and all that were accepted. Null where it was not counted over O(interval).
      returned: success
      type: float
    uses:
      description:
        - By client address (C(source)), address (C(destination)) and C(port) of the service, those with the most short
          connections first.
        - C(per_second) of them came to their end and left a TIME-WAIT, as counted over C(seconds) by how long these
          have been there; C(low) and C(high) are its bounds, each with 95 % confidence.
        - C(time_wait) and C(open) connections hold a local port each, C(percent) of those that there are;
          C(server_time_wait), which the server closed first, hold none. C(reused) says whether the kernel takes a port
          in TIME-WAIT for a new connection, C(demand) which percentage they come to hold at this rate, and
          C(full_after) the seconds after which all would be taken, were none reused (null for never).
        - C(clients) and C(servers) are the processes at either end, with C(holder) as in RV(sockets.listeners), C(seen)
          (of how many connections that were open), and C(user) and C(kernel), the processor time out of the kernel and
          in it, in percent of one core (null where it is not known). C(users) are the numbers of the clients' users.
          All these only where there are many short connections.
        - C(unix_sockets) are paths that the server listens on as well.
      returned: success
      type: list
      elements: dict
settings:
  description: Keys by which causes were told, such as C(net.netfilter.nf_conntrack_count).
  returned: success
  type: dict
findings:
  description:
    - What is outside its target, or wrong by itself, in the one shape of this collection - C(rule), C(key),
      C(severity), C(reason) with the likely cause, C(intended), C(running), C(cure).
  returned: success
  type: list
  elements: dict
kernel:
  description: The release of the kernel.
  returned: success
  type: str
limits:
  description: What could not be looked at, and why.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._health import look
from ansible_collections.netfleet.tcp.plugins.module_utils._health_asked import asked_from
from ansible_collections.netfleet.tcp.plugins.module_utils._health_findings import findings
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import TARGETS
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, look, findings, exit."""
    targets = {name: dict(type="float", default=target) for name, target in TARGETS.items()}
    module = AnsibleModule(
        argument_spec=dict(
            interval=dict(type="float", default=0),
            since=dict(type="dict", default={}),
            peers=dict(type="dict", default={}),
            targets=dict(type="dict", default={}, options=targets),
            rtt_targets=dict(type="dict", default={}),
            top=dict(type="int", default=10),
        ),
        supports_check_mode=True,
    )

    def work() -> dict:
        health = look(LinuxSystem(), asked_from(module.params))
        return {"changed": False, "findings": [to_wire(each) for each in findings(health)], **to_wire(health)}

    run_module(module, work)


if __name__ == "__main__":
    main()
