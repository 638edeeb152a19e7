# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: a small fleet of real hosts on this machine, as QEMU virtual machines or podman containers."""
