# SPDX-License-Identifier: Apache-2.0
"""Steering on Nova 34 with native threads: the whole of it."""

from __future__ import annotations

from tests.stack.support import phases
from tests.stack.support import remedies
from tests.stack.support import steering


class RemedyTest(remedies.EachRemedyTests, steering.SteeringTest):
    """Each remedy."""

    def test_who_is_told_why_it_was_stopped(self):
        # Nova lets nobody but admins boot from an image without a disk.
        run = self.finish(self.start(
            remedies='none', disk_gib=1, owner=self.stack.client('member')))
        self.assert_stayed(run)
        [end] = run.records('end')
        self.assert_told_in_the_list_of_actions(run, end['reason'])
        self.assert_told_in_the_list_of_actions(run, None, version='2.83')
        self.assert_told_in_the_list_of_actions(run, None, user='member')


class PhaseTest(phases.EachPhaseTests, steering.SteeringTest):
    """Each phase."""
