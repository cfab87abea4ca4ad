# SPDX-License-Identifier: Apache-2.0
"""Orders at awkward moments, on Nova 31 under eventlet."""

from __future__ import annotations

from tests.stack.support import cancels
from tests.stack.support import orders
from tests.stack.support import steering


class OrderTest(orders.OrderTests, steering.SteeringTest):
    nova = '31'


class CancelTest(cancels.CancelTests, steering.SteeringTest):
    nova = '31'

    # These are in tests/stack.
    test_waiting_for_a_slot = None
    test_cancelled_too_early_to_be_in_the_queue = None
