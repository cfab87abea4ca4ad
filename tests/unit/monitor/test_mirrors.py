# SPDX-License-Identifier: Apache-2.0
"""How a cap is shared among disks: none of it is lost, and no more than it is given out."""

import itertools
import json

import testtools

from nova_migpolicy.engine import samples
from nova_migpolicy.monitor import disk_caps
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import mirrors
from tests.unit.monitor import fakes
from tests.unit.monitor import scripted

MIB = 1 << 20


class Qemu:
    """QEMU's block jobs, by device: (ready, speed in MiB/s)."""

    def __init__(self, **jobs):
        self.jobs = {name: {'device': name, 'type': 'mirror', 'ready': ready,
                            'speed': int(speed * MIB)} for name, (ready, speed) in jobs.items()}
        self.sums = []
        self.asked = []
        self.error = None

    def __call__(self, _domain, text):
        command = json.loads(text)
        self.asked.append(command['execute'])
        if self.error:
            return json.dumps({'error': {'desc': self.error}})
        if command['execute'] == 'query-block-jobs':
            return json.dumps({'return': [*self.jobs.values(), {
                'device': 'backup', 'type': 'backup', 'speed': 0}]})
        arguments = command['arguments']
        self.jobs[arguments['device']]['speed'] = arguments['speed']
        self.sums.append(sum(job['speed'] for job in self.jobs.values()))
        return '{"return": {}}'

    @property
    def speeds(self):
        return [job['speed'] / MIB for job in self.jobs.values()]


class TestShares(testtools.TestCase):

    def set(self, mib_s, **jobs):
        qemu = Qemu(**jobs)
        guest_mod.MigratingGuest(fakes.Domain(), qemu).set_disk_bandwidth(mib_s)
        return qemu

    def test_each_gets_the_same_while_all_are_copied(self):
        self.assertEqual([10, 10, 10], self.set(30, a=(False, 5), b=(False, 5),
                                                c=(False, 5)).speeds)

    def test_what_those_in_sync_do_not_use_goes_to_the_others(self):
        self.assertEqual([1, 1, 28], self.set(30, a=(True, 10), b=(True, 10),
                                              c=(False, 10)).speeds)
        self.assertEqual([1, 14.5, 14.5], self.set(30, a=(True, 10), b=(False, 10),
                                                   c=(False, 10)).speeds)

    def test_when_all_are_in_sync_they_have_the_same_again(self):
        self.assertEqual([15, 15], self.set(30, a=(True, 1), b=(True, 29)).speeds)

    def test_what_has_its_share_is_left_alone(self):
        qemu = self.set(30, a=(True, 1), b=(False, 29))
        self.assertEqual(['query-block-jobs'], qemu.asked)

    def test_no_cap_is_none_for_each(self):
        self.assertEqual([0, 0], self.set(0, a=(True, 1), b=(False, 29)).speeds)

    def test_the_sum_is_never_above_the_cap(self):
        for number in (1, 2, 3, 5):
            for ready in itertools.product((False, True), repeat=number):
                for before, cap in ((7, 7 * number), (7, 1), (7, 3 * number + 1)):
                    qemu = self.set(cap, **{
                        f'd{n}': (one, before) for n, one in enumerate(ready)})
                    sums = [one for one in qemu.sums if one > cap * MIB]
                    # One that was above it comes down step by step.
                    self.assertEqual(sorted(sums, reverse=True), sums)
                    self.assertTrue(0.99 * cap <= sum(qemu.speeds) <= cap,
                                    (ready, cap, qemu.speeds))
                    self.assertTrue(all(qemu.speeds))

    def test_nonsense_is_no_disk(self):
        for answer in (None, {}, 'x', [3], [{'type': 'mirror'}]):
            self.assertEqual((), mirrors.changes(mirrors.mirrors(answer), 30))


class TestSharing(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.said = []
        self.qemu = Qemu(a=(False, 25), b=(False, 25))
        self.controller = scripted.Controller()
        self.controller.phase = samples.Phase.DISKS

    def sharing(self, disks=2, qemu=True):
        return disk_caps.DiskCaps(
            guest_mod.MigratingGuest(fakes.Domain(), self.qemu if qemu else None), self.controller,
            self.said.append, disks)

    def test_from_look_to_look(self):
        one = self.sharing()
        one.redo()
        self.assertEqual([], self.said)
        self.qemu.jobs['a']['ready'] = True
        one.redo()
        one.redo()
        self.assertEqual([1, 49], self.qemu.speeds)
        self.assertEqual('1 of 2 disks are in sync: what they leave of 50 MiB/s goes to the '
                         'others', '; '.join(self.said))
        self.qemu.jobs['b']['ready'] = True
        self.controller.phase = samples.Phase.BULK
        one.redo()
        self.assertEqual([25, 25], self.qemu.speeds)
        asked = len(self.qemu.asked)
        one.redo()
        self.assertEqual(asked, len(self.qemu.asked))

    def test_where_there_is_nothing_to_share_nothing_is_asked(self):
        self.sharing(disks=1).redo()
        self.controller.settings.cap_mib_s = 0
        self.sharing().redo()
        self.controller.settings.cap_mib_s = 50
        self.controller.facts.can_hurry_disks = False
        self.sharing(qemu=False).redo()
        self.assertEqual(([], []), (self.qemu.asked, self.said))

    def test_a_refusal_is_said_once_and_tried_again(self):
        one = self.sharing()
        self.qemu.jobs['a']['ready'] = True
        self.qemu.error = 'busy'
        one.redo()
        one.redo()
        self.assertEqual(1, len(self.said))
        self.assertIn('busy', self.said[0])
        self.qemu.error = None
        one.redo()
        self.assertEqual([1, 49], self.qemu.speeds)
