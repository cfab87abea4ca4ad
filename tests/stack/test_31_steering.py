# SPDX-License-Identifier: Apache-2.0
"""Steering on Nova 31 under eventlet: what depends on Nova and its threads."""

from __future__ import annotations

from tests.stack.support import phases
from tests.stack.support import remedies
from tests.stack.support import steering


class RemedyTest(remedies.RemedyTests, steering.SteeringTest):
    """Remedies."""

    nova = '31'


class PhaseTest(phases.PhaseTests, steering.SteeringTest):
    """Phases."""

    nova = '31'
