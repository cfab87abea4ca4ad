# SPDX-License-Identifier: Apache-2.0
"""More of slots: priorities, hosts that die, limits that change, servers that go away."""

from __future__ import annotations

from lab import client as lab_client
from tests.stack.support import slots


class SlotsTest(slots.FullTests):

    # These are in tests/stack.
    test_a_named_host_that_is_full_is_waited_for_and_a_cancel_is_done_at_once = None
    test_without_a_named_host_nova_finds_one_with_a_free_slot = None

    def test_a_higher_priority_goes_first(self):
        first = self.endless()
        second = self.move('n2')
        self.assert_waits(*second, '1st of 1')
        third = self.move('n1', guest=slots.ENDLESS, priority=100, **slots.NEVER_ENDS)
        self.assert_waits(*third, '1st of 2')
        self.assert_waits(*second, '2nd of 2')
        self.end(*first)
        self.in_phase(*third, 'passes')
        self.assert_waits(*second, '1st of 1')
        self.end(*third)
        self.completed(*second, 'n3')

    def test_a_source_dies_that_holds_both(self):
        first = self.endless()
        second = self.move('n2')
        self.assert_waits(*second, 'n3')
        self.stack.kill_compute('n1')
        self.stack.hosts['n1'].connect().lookupByUUIDString(first[0]).abortJob()
        # Its lease ends.
        self.completed(*second, 'n3')
        self.stack.start_compute('n1')
        self.stack.wait_computes()
        self.admin.wait_migration(*first, status={'failed'}, timeout=slots.TIMEOUT_S)
        self.assert_on(first[0], 'n1')

    def test_where_all_are_full_it_may_wait(self):
        flow = {host: self.endless('n1', host) for host in ('n2', 'n3')}
        server, migration = self.move('n1', None, on_busy_destination='wait')
        # At first it may wait for the answer of the host that Nova has chosen.
        self.assert_waits(server, migration, 'for an incoming slot on n')
        waits_for = self.admin.forecast(server, migration)['waits_for']
        [host] = [host for host in flow if f'for an incoming slot on {host} ' in waits_for]
        self.end(*flow[host])
        self.completed(server, migration, host)

    def test_limits_that_are_raised_let_those_that_wait_go_on(self):
        self.endless()
        moved = [self.move('n1'), self.move('n2'), self.move('n1')]
        for one in moved:
            self.assert_waits(*one, 'n3')
        self.addCleanup(self.set_limits)
        self.set_limits(max_incoming=0)
        for one in moved:
            self.completed(*one, 'n3')

    def test_limits_that_are_raised_through_the_api_let_those_that_wait_go_on(self):
        first = self.endless()
        moved = [self.move('n1'), self.move('n2'), self.move('n1')]
        for one in moved:
            self.assert_waits(*one, '(1 of 1 used by ')
        self.assertEqual(3, self.capacity()['incoming']['waiting'])
        # As the tests after it have them.
        self.addCleanup(self.ask_for_limits, max_incoming=1)
        changed = self.ask_for_limits(max_incoming=4)
        self.assertEqual(({'max_incoming': 1}, {'max_incoming': 4}),
                         (changed['before'], changed['now']))
        for one in moved:
            self.completed(*one, 'n3')
        self.in_phase(*first, 'passes')
        # Whoever has a slot keeps it when a limit is lowered, and nobody else gets one.
        second = self.endless('n2')
        self.ask_for_limits(max_incoming=1)
        third = self.move('n1')
        self.assert_waits(*third, '(2 of 1 used by ')
        for one in (first, second):
            self.in_phase(*one, 'passes')
            self.end(*one)
        self.completed(*third, 'n3')

    def test_a_source_comes_back_and_goes_on_with_what_flows(self):
        first = self.endless()
        self.stack.kill_compute('n1')
        self.stack.start_compute('n1')
        self.stack.wait_computes()
        second = self.move('n2')
        name = self.admin.server(first[0])['name']
        self.assert_waits(*second, f'(1 of 1 used by {name})')
        self.in_phase(*first, 'passes')
        self.end(*first)
        self.completed(*second, 'n3')

    def test_a_server_that_is_deleted_while_it_waits(self):
        first = self.endless()
        second = self.move('n2')
        self.assert_waits(*second, 'n3')
        third = self.move('n1')
        self.assert_waits(*third, '2nd of 2')
        self.admin.compute('DELETE', f'/servers/{second[0]}')
        self.assert_waits(*third, '1st of 1')
        lab_client.wait(
            lambda: [self.running(second[0], name) for name in slots.HOSTS],
            lambda found: not any(found), slots.TIMEOUT_S, 'the server to be gone')
        self.end(*first)
        self.completed(*third, 'n3')
        files = [self.stack.where.host_instances(name) / second[0] for name in slots.HOSTS]
        lab_client.wait(lambda: [one for one in files if one.exists()], lambda left: not left,
                        slots.TIMEOUT_S, 'its files to be gone')

    def test_a_destination_without_the_plugin_has_room(self):
        self.stack.configure(self.nova_conf, ['n3'], driver='stock')
        self.addCleanup(self.with_the_plugin)
        self.restart('n3')
        self.stack.configure(self.nova_conf, ['n1', 'n2'], driver='migpolicy')
        first = self.endless()
        second = self.move('n1')
        self.completed(*second, 'n3')
        self.assertIn('n3 knows no slots', self.stack.log('n1').read_text())
        self.end(*first)

    def test_a_named_host_that_is_not_waited_for(self):
        self.endless()
        server, migration = self.move('n2', on_busy_destination='reschedule')
        self.admin.wait_migration(server, migration, status={'error'}, timeout=slots.TIMEOUT_S)
        self.assertIn('n3 has no free incoming slot (1 of 1 used by ', self.told(server))
        self.assert_on(server, 'n2')

    def test_the_destinations_nova_compute_dies_while_three_wait_and_one_flows(self):
        first = self.endless()
        moved = [self.move('n1'), self.move('n2'), self.move('n1')]
        for one in moved:
            self.assert_waits(*one, 'n3')
        self.stack.kill_compute('n3')
        self.stack.start_compute('n3')
        self.stack.wait_computes()
        # It learns first what comes to it.
        for one in moved:
            self.assert_waits(*one, '(1 of 1 used by ')
        self.end(*first)
        for one in moved:
            self.completed(*one, 'n3')


class SchedulerTest(slots.SlotsTest):
    """The filter for nova-scheduler, which prefers hosts that have less free memory here."""

    nova_conf = {**slots.SlotsTest.nova_conf, 'DEFAULT': {
        **slots.SlotsTest.nova_conf['DEFAULT'], 'update_resources_interval': 5}}
    control_conf = {'filter_scheduler': {
        'available_filters': ['nova.scheduler.filters.all_filters',
                              'nova_migpolicy.scheduler.filters.IncomingSlotFilter'],
        'enabled_filters': 'ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,'
                           'ServerGroupAntiAffinityFilter,ServerGroupAffinityFilter,'
                           'IncomingSlotFilter',
        'weight_classes': 'nova.scheduler.weights.ram.RAMWeigher',
        'ram_weight_multiplier': -1}}

    def published(self, host, **figures):
        """Wait until a host's nova-compute publishes figures, from now on."""
        words = [f"'migpolicy_incoming_{name}': '{value}'" for name, value in figures.items()]
        began = self.stack.log(host).stat().st_size

        def views():
            with open(self.stack.log(host), errors='replace') as log:
                log.seek(began)
                return [line for line in log if 'Final resource view' in line]

        lab_client.wait(
            views, lambda found: any(all(word in line for word in words) for line in found),
            slots.TIMEOUT_S, f'{host} to publish {figures}')

    def test_a_full_host_is_left_out_without_a_refusal(self):
        self.make(host='n2')
        moved = self.move('n1', None)
        # Without the filter it would be n2 each time.
        self.completed(*moved, 'n2')
        self.endless('n1', 'n2')
        self.published('n2', used=1, limit=1)
        for wish in ('reschedule', 'wait'):
            self.published('n3', used=0, limit=1)
            server, migration = self.move('n1', None, on_busy_destination=wish)
            self.completed(server, migration, 'n3')
            self.assertNotIn('has no free incoming slot', self.told(server))
        # What is booted goes where it would go without the filter.
        booted = self.make(host=None)
        self.assertEqual('n2', self.admin.host(booted))
