# SPDX-License-Identifier: Apache-2.0
"""Steering on Nova 34 with native threads: the whole of it."""

from __future__ import annotations

from tests.stack import phases
from tests.stack import remedies
from tests.stack import steering


class RemedyTest(remedies.EachRemedyTests, steering.SteeringTest):
    """Each remedy."""


class PhaseTest(phases.EachPhaseTests, steering.SteeringTest):
    """Each phase."""
