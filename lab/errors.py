# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of the lab that a user sees."""

from __future__ import annotations


class LabError(Exception):
    """What failed, where, and what to do about it; printed without a traceback, exit status 1."""
