# SPDX-License-Identifier: Apache-2.0
"""Slots at both ends of live migrations, on Nova 34 with native threads and three computes."""

from __future__ import annotations

from tests.stack.support import slots


class SlotsTest(slots.FullTests):

    # It is in tests/long.
    test_all_are_full_and_the_request_says_which = None
