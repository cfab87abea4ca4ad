# SPDX-License-Identifier: Apache-2.0
"""Migrations with commands on Nova 33 with native threads."""

from __future__ import annotations

from tests.stack.support import commanded
from tests.stack.support import steering


class CommandTest(commanded.CommandTests, steering.SteeringTest):
    nova = '33'
    threads = True
    mode = 'native threads'
