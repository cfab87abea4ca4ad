# SPDX-License-Identifier: Apache-2.0
"""Properties of the engine, checked over the model of pre-copy."""

import os

import hypothesis

hypothesis.settings.register_profile(
    'fixed', derandomize=True, deadline=None, database=None, max_examples=120,
    suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile(
    'long', deadline=None, max_examples=2000,
    suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'fixed'))
