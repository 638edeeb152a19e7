# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every unit test shares: how hypothesis works. Runs under Python 3.8 too (make target-pythons)."""

from __future__ import annotations

import os
import tempfile

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

# No deadline: the machine may be busy. The same examples in every run, so that CI fails for a reason that one can see
# again; NETFLEET_HYPOTHESIS=search looks for new ones.
_QUIET = [HealthCheck.too_slow]
settings.register_profile("fixed", deadline=None, max_examples=80, derandomize=True, suppress_health_check=_QUIET)
settings.register_profile("search", deadline=None, max_examples=2000, suppress_health_check=_QUIET)
settings.load_profile(os.environ.get("NETFLEET_HYPOTHESIS", "fixed"))
set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), "netfleet-hypothesis"))
