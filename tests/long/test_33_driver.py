# SPDX-License-Identifier: Apache-2.0
"""The plugin in a running Nova 33 under eventlet."""

from __future__ import annotations

from tests.stack.support import base
from tests.stack.support import older


class TestDriver(older.OlderReleaseTests, base.StackTest):
    """Nova 33."""

    nova = '33'
