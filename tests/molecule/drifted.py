# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenario `kernel` changes by hand on its hosts: data that its tests share from one boot to the next.

Each kind of drift is on one host, and the four hosts share them out, so that one check shows them all:
  local1  a running value; a line of our file
  local2  a vendor's file with a later name, with a dead key in it
  cloud1  /etc/sysctl.conf, which Debian 12 reads by a link; what loads a module at boot; the qdisc of eth1
  cloud2  /etc/sysctl.conf applied by hand, which Debian 13 does not read; our file masked; a route
"""

from __future__ import annotations

OWN_FILE = "/etc/sysctl.d/90-netfleet-tcp.conf"
OVERRULING_FILE = "/etc/sysctl.d/zz-90-netfleet-tcp.conf"
MODULES_FILE = "/etc/modules-load.d/90-netfleet-tcp.conf"
SYSCTL_CONF = "/etc/sysctl.conf"
VENDOR_FILE = "/usr/lib/sysctl.d/99-vendor.conf"

PROBING = "net.ipv4.tcp_mtu_probing"
UNSENT = "net.ipv4.tcp_notsent_lowat"
AFTER_IDLE = "net.ipv4.tcp_slow_start_after_idle"
KEEPALIVE = "net.ipv4.tcp_keepalive_time"
INTERVAL = "net.ipv4.tcp_keepalive_intvl"
DEAD = "net.ipv4.tcp_tw_recycle"
ROUTE = "192.0.2.0/24"

MAKE = {
    "local1": f"sysctl -qw {PROBING}=0; sed -i 's/^{UNSENT} = .*/{UNSENT} = 65536/' {OWN_FILE}",
    "local2": f"printf '# from a vendor\\n{DEAD} = 1\\n{AFTER_IDLE} = 1\\n' > {VENDOR_FILE}",
    "cloud1": (
        f"cp -p {SYSCTL_CONF} /root/; echo '{KEEPALIVE}=7200' >> {SYSCTL_CONF}; sed -i /^tcp_bbr/d {MODULES_FILE};"
        " tc qdisc replace dev eth1 root fq_codel"
    ),
    "cloud2": (
        f"test ! -e {SYSCTL_CONF}; printf '# by hand\\n{INTERVAL} = 75\\n' > {SYSCTL_CONF}; sysctl -qp;"
        f" ln -sf /dev/null {OWN_FILE}; ip route add {ROUTE} dev eth1 congctl reno"
    ),
}
# What tune.yml leaves, since it belongs to others.
UNDO = {
    "local2": f"rm {VENDOR_FILE}",
    "cloud1": f"mv /root/sysctl.conf {SYSCTL_CONF}",
    "cloud2": f"rm {SYSCTL_CONF}",
}
