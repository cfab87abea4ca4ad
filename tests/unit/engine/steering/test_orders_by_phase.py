# SPDX-License-Identifier: Apache-2.0
"""The table of orders by phase is what happens."""

from __future__ import annotations

import testtools

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine.steering import orders
from nova_migpolicy.engine import terms
from nova_migpolicy.policy import keys
from nova_migpolicy import vocabulary as words

GIB = 1 << 30
CHANGES = {orders.RETUNE: terms.Change({terms.DOWNTIME: 900}),
           orders.RETUNE_BANDWIDTH: terms.Change({terms.BANDWIDTH: 70})}


def sample(at_s, iteration, left, *, boundary=False):
    return samples.Sample(
        at_s=at_s, boundary=boundary, iteration=iteration, memory_total_bytes=GIB,
        memory_processed_bytes=int(at_s * GIB / 20), memory_sent_bytes=int(at_s * GIB / 20),
        memory_remaining_bytes=left)


def at(phase):
    """A controller whose migration is in a phase, and the time."""
    made = controller_mod.Controller(keys.Policy(), controller_mod.Facts(
        memory_bytes=GIB, disk_bytes=GIB, started_s=0.0, can_post_copy=True, bandwidth_mib_s=50,
        deadline_s=600.0))
    if phase == words.PREPARING:
        return made, 0.5
    made.observe(samples.Sample(at_s=1.0, disk_total_bytes=GIB, disk_processed_bytes=1,
                                disk_remaining_bytes=GIB - 1))
    if phase == words.DISKS:
        return made, 2.0
    made.observe(sample(2.0, 1, GIB, boundary=True))
    if phase == words.BULK_COPY:
        return made, 3.0
    # As much remains as before, so it does not end by itself.
    made.observe(sample(22.0, 2, GIB, boundary=True))
    ends = {words.PAUSED: lambda: made.pause(23.0), words.ABORTING: lambda: made.abort(23.0, 'x'),
            words.POST_COPY: lambda: made.post_copy(23.0)}
    if phase in ends:
        for action in ends[phase]().actions:
            made.applied(action, 23.5)
    return made, 24.0


class TestOrdersByPhase(testtools.TestCase):

    def order(self, controller, order, at_s):
        if order in CHANGES:
            return controller.retune(CHANGES[order], at_s)
        if order == words.CANCEL:
            return controller.abort(at_s, 'it was ordered')
        return getattr(controller, order)(at_s)

    def check(self, order, phase, ruling):
        controller, at_s = at(phase)
        self.assertEqual(phase, controller.state)
        told = self.order(controller, order, at_s)
        ends = [one for one in told.actions if isinstance(
            one, (remedies.StartPostCopy, remedies.Pause, remedies.Abort))]
        where = f'{order} in {phase}: {told.reason}'
        if ruling.done != 'now' or (ruling.why and ruling.why in told.reason):
            self.assertIn(ruling.why, told.reason, where)
            self.assertEqual([], ends, where)
            self.assertEqual(ruling.done == 'never' or order in CHANGES, told.refused, where)
            return
        self.assertFalse(told.refused, where)
        if order not in CHANGES and phase != words.ABORTING:
            self.assertEqual(1, len(ends), where)

    def test_what_is_not_done_now_all_the_same(self):
        controller, at_s = at(words.PREPARING)
        told = controller.retune(CHANGES[orders.RETUNE], at_s)
        self.assertTrue(told.refused)
        self.assertIn(orders.TABLE[orders.RETUNE][words.PREPARING].why, told.reason)
        # Nothing is to be set for another policy: that is done.
        told = controller.retune(terms.Change(policy=keys.Policy(on_stall='continue')), at_s)
        self.assertFalse(told.refused)
        controller, at_s = at(words.PASSES)
        # Next to nothing remains, so it ends by itself in a moment.
        controller.observe(sample(40.0, 3, 8 << 20, boundary=True))
        controller.observe(sample(40.2, 4, 7 << 20, boundary=True))
        told = controller.force_complete(40.3)
        self.assertIn(orders.TABLE[words.FORCE_COMPLETE][words.PASSES].why, told.reason)
        self.assertEqual(((), False), (told.actions, told.refused))

    def test_each(self):
        for order, by_phase in orders.TABLE.items():
            for phase, ruling in by_phase.items():
                self.check(order, phase, ruling)

    def test_each_phase_is_in_each_row(self):
        phases = {phase.value for phase in samples.Phase} | {words.ABORTING, words.PAUSED}
        for order, by_phase in orders.TABLE.items():
            self.assertEqual(phases, set(by_phase), order)
        self.assertLessEqual(set(words.ORDERS), set(orders.TABLE))

    def test_the_table_is_what_counts(self):
        """A row that says otherwise is found."""
        self.assertRaises(AssertionError, self.check, words.CANCEL, words.POST_COPY, orders.NOW)
        self.assertRaises(AssertionError, self.check, words.PAUSE, words.PASSES,
                          orders.Ruling('never', orders.EARLY))
