# SPDX-License-Identifier: Apache-2.0
"""Unit tests: no Nova services, no libvirt, no root."""

import hypothesis

# The same examples each time, and no time limit: a busy machine is no failure.
hypothesis.settings.register_profile(
    'unit', derandomize=True, deadline=None, database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile('unit')
