# SPDX-License-Identifier: Apache-2.0
"""Eight guests sent at once over one link on real hosts, and the one that is sent after them."""

from __future__ import annotations

import libvirt

from lab import domain as lab_domain
from lab import guests
from nova_migpolicy.monitor import link_rates
from nova_migpolicy.monitor import neighbours as neighbours_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from tests.lab import base
from tests.lab import steered

# So slow that a busy machine can fill it as well: what one alone shows of it is the link's.
LINK_MIB_S = 25
SIZES_MIB = (64, 68, 72, 76, 80, 84, 88, 96)
BEATS_MS = 20


class TogetherTest(base.HostsTest):

    seconds = 180

    def setUp(self):
        super().setUp()
        self.links = link_rates.LinkRates(None)
        self.neighbours = neighbours_mod.Neighbours()
        self.shape(rate_mib_s=LINK_MIB_S)

    def start(self, number, size_mib, rate_mib_s):
        """Start a guest on n1; returns it and a recorder of its beats."""
        return self.boot(f'together{number}', guests.Guest('sweep', size_mib, 32, rate_mib_s))

    def boot(self, name, kind):
        guest = lab_domain.LabDomain(self.lab, name, kind)
        self.addCleanup(guest.destroy)
        beats = guest.boot().recorder()
        self.addCleanup(beats.stop)
        return guest, beats

    def move(self, guest, **policy):
        moving = steered.Move(guest, links=self.links, neighbours=self.neighbours, **policy)
        self.addCleanup(moving.stop)
        return moving

    def assert_arrived(self, guest, beats, moving, promised_ms):
        ended = moving.wait(240)
        told = [one['reason'] for one in moving.records('decision')]
        self.assertIs(outcome_mod.End.COMPLETED, ended.end, (ended.reason, told))
        self.assertEqual({'n2': libvirt.VIR_DOMAIN_RUNNING}, steered.whereabouts(guest))
        self.assertTrue(beats.wait_for_beats(10, 1), 'no beat on n2')
        # A host that is too busy stops every guest for a while, also the one that stays.
        most_ms = promised_ms + BEATS_MS + self.bystander.longest_gap_ms()
        self.assertLessEqual(beats.least_blackout_ms, most_ms, told)

    def check(self, profile, promised_ms):
        _, self.bystander = self.boot('bystander', guests.Guest('idle', 64))
        all_of_them = [(*self.start(number, size_mib, 10), size_mib)
                       for number, size_mib in enumerate(SIZES_MIB)]
        under_way = [(guest, beats, self.move(guest, profile=profile))
                     for guest, beats, _ in all_of_them]
        for guest, beats, moving in under_way:
            self.assert_arrived(guest, beats, moving, promised_ms)
            # What arrives alone without a remedy is not slowed, stopped or moved for the others.
            self.assertEqual(set(), set(moving.done) & {
                'set_throttle', 'pause', 'start_post_copy', 'abort'})
        believed = self.links.get('n2')
        if believed is not None:
            self.assertGreater(believed.low_mib_s, LINK_MIB_S / 2, [
                record for _, _, moving in under_way for record in moving.records('link')])
        # The one after them is moved as if they had not been.
        guest, beats = self.start('after', 64, 12)
        after = self.move(guest, bandwidth_mib_s='10', max_bandwidth_mib_s='22',
                          remedies='bandwidth,downtime', on_stall='abort')
        self.assert_arrived(guest, beats, after, 500)

    def test_all_arrive_under_balanced(self):
        self.check('balanced', 500)

    def test_all_arrive_under_evacuate(self):
        self.check('evacuate', 2000)
