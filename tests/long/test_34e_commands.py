# SPDX-License-Identifier: Apache-2.0
"""Migrations with commands on Nova 34 under eventlet, which it no longer uses by itself."""

from __future__ import annotations

from tests.stack.support import commanded
from tests.stack.support import steering


class CommandTest(commanded.CommandTests, steering.SteeringTest):
    nova = '34'
    threads = False
    mode = 'eventlet'
