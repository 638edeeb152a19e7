# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a Debian tree a guest of the lab: data only, and small files."""

from __future__ import annotations

# Addresses are set before network.target and after the sysctls, as Debian's networking.service does. `ip` reads a list
# of commands, which each host gets with its identity.
NETWORK_FILE = "/etc/netfleet-lab.network"
AUTHORIZED_KEYS = "/root/.ssh/authorized_keys"
NETWORK_UNIT = f"""[Unit]
Description=Addresses of this host of the lab
DefaultDependencies=no
Wants=network.target
After=local-fs.target network-pre.target systemd-modules-load.service systemd-sysctl.service
Before=network.target network-online.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip -batch {NETWORK_FILE}

[Install]
WantedBy=multi-user.target
"""

# A whole coldplug takes seconds under emulation. Network devices are what rules and device units on a host deal with.
UDEV_TRIGGER = """[Service]
ExecStart=
ExecStart=-/bin/udevadm trigger --action=add --subsystem-match=net
"""

SSHD = """UseDNS no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
GSSAPIAuthentication no
PrintMotd no
MaxStartups 100
MaxSessions 100
HostKey /etc/ssh/ssh_host_ed25519_key
"""

MANAGEMENT_COMMANDS = (
    "link set lo up\n"
    "addr replace 10.0.2.15/24 dev eth0\n"
    "link set eth0 up\n"
    "route replace default via 10.0.2.2 dev eth0\n"
)

FILES = {
    "/etc/fstab": "",
    "/etc/hostname": "lab\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
    NETWORK_FILE: MANAGEMENT_COMMANDS,
    "/etc/systemd/system/lab-network.service": NETWORK_UNIT,
    "/etc/systemd/system/systemd-udev-trigger.service.d/lab.conf": UDEV_TRIGGER,
    "/etc/systemd/system/ssh.service.d/lab.conf": "[Service]\nExecStartPre=\n",
    "/etc/systemd/system.conf.d/lab.conf": "[Manager]\nDefaultTimeoutStopSec=5s\n",
    "/etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n",
    "/etc/ssh/sshd_config.d/lab.conf": SSHD,
    # Nested virtualisation and floppies: their probing takes long under emulation.
    "/etc/modprobe.d/lab.conf": "blacklist kvm\nblacklist kvm_amd\nblacklist kvm_intel\nblacklist floppy\n",
}

# What Debian enables on installation and a host of the lab has no use for; `systemctl disable` in effect.
REMOVED_LINKS = (
    "/etc/systemd/system/multi-user.target.wants/e2scrub_reap.service",
    "/etc/systemd/system/multi-user.target.wants/ipvsadm.service",
    "/etc/systemd/system/multi-user.target.wants/remote-fs.target",
    "/etc/systemd/system/sysinit.target.wants/nftables.service",
    "/etc/systemd/system/sysinit.target.wants/systemd-pstore.service",
    "/etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service",
    "/etc/systemd/system/timers.target.wants/apt-daily-upgrade.timer",
    "/etc/systemd/system/timers.target.wants/apt-daily.timer",
    "/etc/systemd/system/timers.target.wants/dpkg-db-backup.timer",
    "/etc/systemd/system/timers.target.wants/e2scrub_all.timer",
    "/etc/systemd/system/timers.target.wants/fstrim.timer",
    # made anew for each image
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ecdsa_key.pub",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_ed25519_key.pub",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/ssh_host_rsa_key.pub",
)

DIRECTORIES = {"/root": 0o700, "/root/.ssh": 0o700}

ADDED_LINKS = {
    "/etc/systemd/system/multi-user.target.wants/lab-network.service": "/etc/systemd/system/lab-network.service",
    "/etc/systemd/system/multi-user.target.wants/ssh.service": "/lib/systemd/system/ssh.service",
    "/etc/systemd/system/default.target": "/lib/systemd/system/multi-user.target",
}

# Each costs 0.1 to 2 s at boot under emulation, and nothing that the collection deals with depends on it.
MASKED_UNITS = (
    "console-getty.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "getty-static.service",
    "getty@tty1.service",
    "kmod-static-nodes.service",
    "ldconfig.service",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "proc-sys-fs-binfmt_misc.automount",
    "run-lock.mount",
    "serial-getty@ttyS0.service",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-battery-check.service",
    "systemd-binfmt.service",
    "systemd-bsod.service",
    "systemd-firstboot.service",
    "systemd-hibernate-clear.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-machine-id-commit.service",
    "systemd-network-generator.service",
    "systemd-pcrmachine.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-random-seed.service",
    "systemd-remount-fs.service",
    "systemd-sysusers.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-tmpfiles-setup-dev-early.service",
    "systemd-tpm2-setup-early.service",
    "systemd-tpm2-setup.service",
    "systemd-udev-load-credentials.service",
    "systemd-update-done.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
    "systemd-user-sessions.service",
    "systemd-userdbd.socket",
    "tmp.mount",
)

# Each is a program that systemd runs before anything else.
MASKED_GENERATORS = (
    "systemd-bless-boot-generator",
    "systemd-cryptsetup-generator",
    "systemd-debug-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-run-generator",
    "systemd-ssh-generator",
    "systemd-system-update-generator",
    "systemd-sysv-generator",
    "systemd-tpm2-generator",
    "systemd-veritysetup-generator",
)


def network_commands(address: str) -> str:
    """What `ip -batch` does at boot: eth0 is the way in, eth1 the fleet's own network."""
    return f"{MANAGEMENT_COMMANDS}addr replace {address}/24 dev eth1\nlink set eth1 up\n"


def identity(name: str, address: str, hosts_file: str, public_key: str) -> dict[str, tuple[int, str]]:
    """The files (mode and text) that make a copy of the image one host of the fleet."""
    return {
        "/etc/hostname": (0o644, f"{name}\n"),
        "/etc/hosts": (0o644, hosts_file),
        NETWORK_FILE: (0o644, network_commands(address)),
        AUTHORIZED_KEYS: (0o600, f"{public_key}\n"),
    }


# What a copy does once, as soon as it answers: take its files from a tar archive on the standard input, its name,
# address and time, and randomness that the other copies of its image don't have.
BECOME = (
    "tar -C / -xf - && hostname -F /etc/hostname && ip link set eth1 address {mac} && "
    f"ip -batch {NETWORK_FILE} && head -c 64 /dev/hwrng > /dev/urandom && date -u -s @{{time}} > /dev/null"
    " && sync"
)
# What a host does that wakes from its own snapshot.
WAKE = "head -c 64 /dev/hwrng > /dev/urandom && date -u -s @{time} > /dev/null"

SETTLE = "systemctl is-system-running --wait || systemctl list-units --failed --plain --no-legend"

# Read into the page cache before the image's snapshot is taken: what ansible and the tests run on each visit.
PRELOAD = (
    "python3 -c 'import base64, datetime, glob, hashlib, json, logging, platform, selectors, shutil, subprocess,"
    " syslog, tempfile, zipfile'; for name in ip tc ss sysctl modprobe systemctl iperf3; do"
    ' cat "$(command -v $name)" > /dev/null; done; sync'
)
