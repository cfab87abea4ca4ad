# SPDX-License-Identifier: Apache-2.0
"""A full destination on Nova 31 (eventlet)."""

from __future__ import annotations

from tests.stack.support import slots


class SlotsTest(slots.FullTests):
    nova = '31'
