# SPDX-License-Identifier: Apache-2.0
"""What a session takes over of a migration that another process has steered until now."""

from __future__ import annotations

import libvirt

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from tests.unit.compute import test_session
from tests.unit.monitor import fakes
from tests.unit.recovery import cases

PAUSED = libvirt.VIR_DOMAIN_PAUSED
NONE = {'fields': {}, 'origins': {}, 'request': {}, 'retuned': {}, 'held': {}}


class TakeOverTest(test_session.SessionCase):

    def take(self, answers=None, policy=None, was_paused=False, **keys):
        """Take over from a libvirt that answers so; returns what was taken over."""
        made = self.build({'migrateGetMaxSpeed': 40, 'migrateGetMaxDowntime': 300,
                           **(answers or {})}, **{'bandwidth_mib_s': '40', **keys})
        made.take_over(cases.a_record(policy={**NONE, **(policy or {})}, was_paused=was_paused))
        self.made = made
        return made._taken_over

    def test_the_settings_are_libvirts(self):
        found = self.take()
        self.assertEqual(settings_mod.Settings(
            40, 300, settings_mod.promised_ms(300, 40, settings_mod.Link())), found.settings)
        self.assertEqual(({}, {}, ()), (found.held, found.retuned, found.done))
        # Nothing is changed, and nothing that was prepared is prepared again.
        for name in ('migrateSetMaxSpeed', 'migrateSetMaxDowntime'):
            self.assertEqual([], self.domain.called(name))
        self.assertNotIn('migrate-set-parameters', self.commands)

    def test_no_cap(self):
        self.assertEqual(0, self.take({'migrateGetMaxSpeed': guest_mod.UNLIMITED_MIB_S},
                                      bandwidth_mib_s='0').settings.cap_mib_s)

    def test_a_cap_that_had_given_way_is_the_policys_again(self):
        self.assertEqual(40, self.take({'migrateGetMaxSpeed': 1}).settings.cap_mib_s)
        self.assertEqual([(40, 0)], self.domain.called('migrateSetMaxSpeed'))

    def test_a_higher_cap_stays(self):
        self.assertEqual(90, self.take({'migrateGetMaxSpeed': 90}).settings.cap_mib_s)
        self.assertEqual([], self.domain.called('migrateSetMaxSpeed'))

    def test_a_cap_that_an_operator_holds_stays(self):
        found = self.take({'migrateGetMaxSpeed': 5}, {
            'held': {'bandwidth_mib_s': 5}, 'retuned': {'bandwidth_mib_s': 5}})
        self.assertEqual((5, {'bandwidth_mib_s': 5}, {'bandwidth_mib_s': 5}),
                         (found.settings.cap_mib_s, found.held, found.retuned))
        self.assertEqual([], self.domain.called('migrateSetMaxSpeed'))

    def test_what_cannot_be_held_here_is_not(self):
        found = self.take(policy={'held': {
            'haste': 3, 'max_downtime_ms': 'long', 'bandwidth_mib_s': True}})
        self.assertEqual({}, found.held)

    def test_post_copy_is_seen_and_its_rate_left_alone(self):
        found = self.take({'state': (PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY),
                           'migrateGetMaxSpeed': 1}, remedies='post_copy')
        self.assertEqual((remedies.StartPostCopy(),), found.done)
        self.assertEqual([], self.domain.called('migrateSetMaxSpeed'))

    def test_a_pause_for_the_migration_is_seen_and_one_by_its_user_is_not(self):
        by_somebody = {'state': (PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER)}
        self.assertEqual((remedies.Pause(),), self.take(by_somebody).done)
        self.assertEqual((), self.take(by_somebody, was_paused=True).done)
        self.assertEqual((), self.take({
            'state': (PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)}).done)

    def test_a_libvirt_that_does_not_tell_is_asked_again_at_the_next_look(self):
        away = fakes.error(libvirt.VIR_ERR_RPC, 'the connection is dead')
        for name in ('state', 'migrateGetMaxSpeed', 'migrateGetMaxDowntime'):
            self.assertRaises(exception.GuestError, self.take, {name: away})

    def test_the_throttle_is_the_last_that_was_set(self):
        self.assertEqual(0, self.take(remedies='auto_converge').settings.throttle_percent)
        self.assertTrue(self.made._throttle_is_held)
        self.take(remedies='none')
        self.assertFalse(self.made._throttle_is_held)
