# SPDX-License-Identifier: Apache-2.0
"""Retuning, and cancelling what waits, on Nova 31 under eventlet."""

from __future__ import annotations

from tests.stack.support import cancels
from tests.stack.support import retunes
from tests.stack.support import steering


class RetuneTest(retunes.ByRequestTests, steering.SteeringTest):
    nova = '31'


class CancelTest(cancels.CancelTests, steering.SteeringTest):
    nova = '31'

    # It is in tests/long.
    test_all_of_a_host_while_another_is_silent = None
