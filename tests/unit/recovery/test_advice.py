# SPDX-License-Identifier: Apache-2.0
"""An operator is told what to do about whatever is not decided."""

from __future__ import annotations

import testtools

from nova_migpolicy.recovery import advice
from nova_migpolicy.recovery import table

SERVER = 'c9a6e1f4-0b5d-4c7a-8e21-3f90d1b2a4c6'


class AdviceTest(testtools.TestCase):

    def test_whatever_is_held_has_its_own(self):
        held = {row.reason for row in table.TABLE if row.kind is table.Kind.HOLD}
        self.assertEqual(held, set(advice._FOR_REASON))

    def test_each_kind_has_one(self):
        for kind in table.Kind:
            self.assertTrue(advice.what_to_do(kind.value, 'any', SERVER))
        self.assertIn('message bus answer',
                      advice.what_to_do('wait', 'any', SERVER))

    def test_its_commands_can_be_copied(self):
        for reason in [*advice._FOR_REASON, 'anything else']:
            said = advice.what_to_do('hold', reason, SERVER)
            self.assertNotIn('SERVER', said)
            self.assertFalse(said.endswith('.'), said)
            self.assertEqual('recovery release' in said, f'release {SERVER}`' in said)

    def test_of_another_version(self):
        self.assertEqual('Nothing: it is done by itself',
                         advice.what_to_do('dance', 'both hosts run the guest', SERVER))

    def test_who_is_needed(self):
        self.assertTrue(advice.needs_operator('hold', 0.0))
        self.assertFalse(advice.needs_operator('wait', advice.LASTS_S))
        self.assertTrue(advice.needs_operator('wait', advice.LASTS_S + 1))
        self.assertTrue(advice.needs_operator('resume', advice.LASTS_S + 1))
