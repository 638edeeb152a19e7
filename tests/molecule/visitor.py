# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ordinary user on the hosts under test, who may look and is not root."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from testinfra.host import Host as Connection

from tests.molecule.hosts import on_each

USER = "visitor"
AS_VISITOR = f"--extra-vars=ansible_user={USER}"
_MAKE = (
    f"echo '{USER}:*:2000:2000::/run/{USER}:/bin/sh' >> /etc/passwd && install -d -o 2000 /run/{USER} /run/{USER}/.ssh"
    f" && install -o 2000 -m 600 /root/.ssh/authorized_keys /run/{USER}/.ssh/authorized_keys"
)
_DROP = f"sed -i '/^{USER}:/d' /etc/passwd && rm -r /run/{USER}"


@contextmanager
def visitor(connections: Mapping[str, Connection]) -> Iterator[None]:
    """Have the user for the body. What a connection that stays open still runs as him does not matter."""
    on_each(dict.fromkeys(connections, _MAKE), connections)
    try:
        yield
    finally:
        on_each(dict.fromkeys(connections, _DROP), connections)
