# SPDX-License-Identifier: Apache-2.0
"""More of what may be away while a migration ends."""

from __future__ import annotations

from tests.stack.support import strands


class StrandsTest(strands.StrandsTest):

    nova_conf = {**strands.StrandsTest.nova_conf, 'DEFAULT': strands.IMPATIENT}

    def test_the_conductor_is_away_after_the_copy(self):
        self.goes_on_without('conductor', self.stop_at(strands.POST), 'n2', 'completed')

    def test_the_conductor_is_away_in_the_rollback(self):
        self.goes_on_without('conductor', self.stop_in_rollback(strands.ROLLBACK), 'n1', 'failed')

    def test_the_destination_is_frozen_while_libvirt_finishes(self):
        run = self.in_passes()
        self.freeze('n2')
        self.admin.force_complete(run.server, run.migration)
        self.wait_gone(run)
        self.thaw('n2')
        self.assert_agree(run, 'n2', 'completed')

    def test_the_source_is_frozen_in_the_passes(self):
        run = self.in_passes()
        self.freeze('n1')
        self.assertTrue(run.beats.wait_for_beats(20, log=0))
        self.thaw('n1')
        self.admin.abort(run.server, run.migration)
        self.assert_agree(run, 'n1', 'cancelled')

    def test_deleted_in_post_copy(self):
        run = self.in_post_copy()
        self.admin.compute('DELETE', f'/servers/{run.server}')
        self.assert_nothing(run)
