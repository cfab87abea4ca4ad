# SPDX-License-Identifier: Apache-2.0
"""A destination without a free slot: the migration waits, or Nova looks for another host."""

from __future__ import annotations

from unittest import mock

from nova import exception as nova_exception
from nova import objects

from nova_migpolicy.capacity import waits
from nova_migpolicy.channel import client
from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import precheck
from nova_migpolicy.compute import slots as slots_mod
from nova_migpolicy.policy import resolve
from nova_migpolicy import vocabulary
from tests.contract import base

MIGRATION = '33333333-2222-3333-4444-555555555555'
FULL = waits.Refusal('n2', vocabulary.INCOMING_SLOT, 2, 2, ('db-1', 'db-7'))


class PrecheckTest(base.ContractCase):

    def setUp(self):
        super().setUp()
        self.server = self.instance()
        self.migration = objects.Migration(
            self.context, uuid=MIGRATION, source_compute='n1', dest_compute=None)
        patched = mock.patch.object(hands_mod, 'newest',
                                    side_effect=lambda *args: self.migration)
        patched.start()
        self.addCleanup(patched.stop)
        self.slots = mock.create_autospec(slots_mod.Slots, instance=True)
        self.slots.reserve.return_value = FULL
        self.channel = mock.create_autospec(client.Channel, instance=True)
        self.answer({}, names_host=False)
        self.flavor, self.explained = {}, []
        self.tested = precheck.Precheck(self.slots, self.channel, self.resolve,
                                        lambda *args: self.explained.append(args))

    def answer(self, values, names_host):
        self.channel.ask.return_value = 200, {'values': values, 'names_host': names_host}

    def resolve(self, instance, request):
        self.assertIs(self.server, instance)
        return resolve.resolve(resolve.Sources(flavor=self.flavor, request=request))

    def check(self):
        """Whether it may come here."""
        try:
            self.tested.check(self.context, self.server, 256.0)
        except nova_exception.MigrationPreCheckError as error:
            self.assertIn('n2 has no free incoming slot (2 of 2 used by db-1 and db-7)',
                          str(error))
            self.assertEqual([(self.context, self.server, FULL.sentence)], self.explained)
            self.explained.clear()
            return False
        self.assertEqual([], self.explained)
        return True

    def test_with_a_free_slot_nobody_is_asked(self):
        self.slots.reserve.return_value = None
        self.assertTrue(self.check())
        self.slots.reserve.assert_called_once_with(MIGRATION, 's', 256.0)
        self.channel.ask.assert_not_called()

    def test_auto_waits_where_the_host_was_named_and_else_does_not(self):
        self.assertFalse(self.check())
        self.answer({}, names_host=True)
        self.assertTrue(self.check())
        self.channel.ask.assert_called_with(
            self.context, 'n1', 'request', server=base.UUID, request_id=self.context.request_id)

    def test_auto_waits_where_the_host_was_forced(self):
        self.migration.dest_compute = 'n2'
        self.assertTrue(self.check())

    def test_the_flavor_says_which(self):
        for names_host in (True, False):
            self.answer({}, names_host=names_host)
            for wish, waits_here in (('wait', True), ('reschedule', False)):
                self.flavor['on_busy_destination'] = wish
                self.assertIs(waits_here, self.check(), (wish, names_host))

    def test_the_request_says_otherwise(self):
        self.flavor['on_busy_destination'] = 'wait'
        self.answer({'on_busy_destination': 'reschedule'}, names_host=True)
        self.assertFalse(self.check())

    def test_where_the_source_does_not_tell_the_host_may_have_been_named(self):
        for said in (client.Unreachable(503, 'n1 did not answer'), client.Refused(409, 'no')):
            self.channel.ask.side_effect = said
            self.assertTrue(self.check())
        self.channel.ask.side_effect = None
        for body in (None, {}, {'values': [], 'names_host': False},
                     {'values': {}, 'names_host': 'no'}, {'values': {}}):
            self.channel.ask.return_value = 200, body
            self.assertTrue(self.check(), body)

    def test_what_is_asked_for_may_be_forbidden_here(self):
        self.flavor['on_busy_destination'] = 'reschedule'
        self.answer({'on_busy_destination': 'never'}, names_host=True)
        self.assertFalse(self.check())

    def test_a_policy_that_cannot_be_applied_is_the_default_one(self):
        def fail(instance, request):
            raise RuntimeError('no flavor')

        self.tested._resolve_for = fail
        self.assertFalse(self.check())
        self.assertIn('no flavor', self.log.output)

    def test_without_a_record_of_it_nova_decides(self):
        self.migration = None
        self.assertTrue(self.check())
        self.slots.reserve.assert_not_called()
