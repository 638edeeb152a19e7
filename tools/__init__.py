# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Makefile runs: one small program each, started with `python -m tools.NAME` from the repository's root."""
