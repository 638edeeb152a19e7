#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a node runs kube-proxy, and what its kernel does with Services."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_info
short_description: How a node runs kube-proxy, and what its kernel does with Services
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Tells which distribution runs kube-proxy on a node and where its configuration stands, and asks kube-proxy itself
    which mode it runs and whether it is healthy.
  - Reads the kernel - the endpoints of each Service in the mode that runs, what other modes have left behind, the
    addresses on C(kube-ipvs0) - and what each mode would need of the node - modules, programs, kernel parameters.
  - It needs no access to the API, and changes nothing. Values in files of k3s and RKE2 that are not about kube-proxy,
    such as tokens, do not leave the node.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
options:
  distribution:
    description: How the node runs kube-proxy. Empty to find it.
    type: str
    choices: ["", kubeadm, k3s, rke2, microk8s, eks, standalone]
    default: ""
  metrics:
    description: Where kube-proxy tells its mode, as ADDRESS:PORT.
    type: str
    default: 127.0.0.1:10249
  healthz:
    description: Where kube-proxy tells whether it is healthy, as ADDRESS:PORT; empty not to ask.
    type: str
    default: 127.0.0.1:10256
  entries:
    description: Whether to read what the kernel does with each Service.
    type: bool
    default: true
requirements:
  - iproute2, and for the mode that runs nft or iptables on the host; root, to see all of it
seealso:
  - module: netfleet.tcp.kube_proxy_mode
"""

EXAMPLES = r"""
- name: Look at kube-proxy
  netfleet.tcp.kube_proxy_info:
  become: true
  register: info

- name: Name what other modes have left
  ansible.builtin.debug:
    msg: "{{ info.residues }}"
"""

RETURN = r"""
node:
  description:
    - C(place) says how kube-proxy runs - C(distribution), C(kind) of its configuration, C(path), C(unit), and
      C(because) of what.
    - C(proxy_mode) is the mode by its own answer (empty where it gives none), C(health) is empty where it is healthy.
    - C(entries) are the Services that the kernel serves, with C(protocol), C(address) (V(0.0.0.0) or V(::) for a
      NodePort, but in the mode ipvs each address of the node), C(port), C(endpoints), C(draining), C(affinity) in
      seconds (V(-1) where it is not known for how long), C(scheduler) and C(refused); C(entries_limit) says why they
      cannot be read.
    - C(modules) and C(programs) are those of any mode that are there; C(module_limits) says why others are not.
    - C(foreign) says who else uses IPVS; C(own_servers) what it serves on each address of the node, which kube-proxy
      may have made (NodePorts of the mode ipvs) or somebody else; C(limits) what could not be looked at.
    - C(kernel), C(kubernetes), C(node_name), C(addresses), C(files), C(arguments), C(bound), C(leftovers), C(sysctls),
      C(own_sysctls), C(names_protocols), C(timeouts), C(stored) and C(kept) say more.
  returned: success
  type: dict
residues:
  description: What other modes than the one that runs have left behind, a line for each kind.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._observe_kube import observe_kube
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, look, exit."""
    module = AnsibleModule(
        argument_spec=dict(
            distribution=dict(
                type="str", choices=["", "kubeadm", "k3s", "rke2", "microk8s", "eks", "standalone"], default=""
            ),
            metrics=dict(type="str", default="127.0.0.1:10249"),
            healthz=dict(type="str", default="127.0.0.1:10256"),
            entries=dict(type="bool", default=True),
        ),
        supports_check_mode=True,
    )
    asked = module.params

    def work() -> dict:
        seen = observe_kube(LinuxSystem(), asked["distribution"], asked["metrics"], asked["healthz"], asked["entries"])
        return {"changed": False, "node": to_wire(seen), "residues": [str(each) for each in seen.residues]}

    run_module(module, work)


if __name__ == "__main__":
    main()
