# SPDX-License-Identifier: Apache-2.0
"""Orders at awkward moments, on Nova 31 under eventlet."""

from __future__ import annotations

from tests.stack.support import orders
from tests.stack.support import steering


class OrderTest(orders.OrderTests, steering.SteeringTest):
    nova = '31'
