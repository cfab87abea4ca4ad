# SPDX-License-Identifier: Apache-2.0
"""Steering on Nova 31 under eventlet."""

from __future__ import annotations

from tests.stack import phases
from tests.stack import remedies
from tests.stack import steering


class RemedyTest(remedies.EachRemedyTests, steering.SteeringTest):
    """Each remedy."""

    nova = '31'


class PhaseTest(phases.PhaseTests, steering.SteeringTest):
    """Each phase."""

    nova = '31'
