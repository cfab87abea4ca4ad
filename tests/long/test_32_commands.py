# SPDX-License-Identifier: Apache-2.0
"""Migrations with commands on Nova 32 under eventlet."""

from __future__ import annotations

from tests.stack.support import commanded
from tests.stack.support import steering


class CommandTest(commanded.CommandTests, steering.SteeringTest):
    nova = '32'
    mode = 'eventlet'
