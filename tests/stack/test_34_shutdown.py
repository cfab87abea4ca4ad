# SPDX-License-Identifier: Apache-2.0
"""nova-compute of Nova 34 is stopped in the middle of migrations, and comes back."""

from __future__ import annotations

from tests.stack.support import shutdowns


class LeaveTest(shutdowns.LeaveTests):
    ends_itself = False
    times = 2


class AbortTest(shutdowns.AbortTests):
    ends_itself = False


class FinishTest(shutdowns.FinishTests):
    ends_itself = False
