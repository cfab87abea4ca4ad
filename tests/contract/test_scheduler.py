# SPDX-License-Identifier: Apache-2.0
"""The filter and the weigher in Nova's own scheduler code."""

from __future__ import annotations

import types

from nova import objects
from nova.scheduler import filters as nova_filters
from nova.scheduler import weights as nova_weights

from nova_migpolicy.capacity import published
from nova_migpolicy.scheduler import filters
from nova_migpolicy.scheduler import weighers
from tests.contract import base


def host(name, used=0, waiting=0, limit=2, stats=None):
    found = published.Incoming(used, waiting, limit).to_stats() if stats is None else stats
    return types.SimpleNamespace(host=name, nodename=name, stats=found, aggregates=[])


class SchedulerCase(base.ContractCase):

    def setUp(self):
        super().setUp()
        self.move = objects.RequestSpec(ignore_hosts=['source'], scheduler_hints={},
                                        instance_uuid=base.UUID)
        self.boot = objects.RequestSpec(ignore_hosts=None, scheduler_hints={})
        self.unset = objects.RequestSpec(scheduler_hints={})


class TestFilter(SchedulerCase):

    def passed(self, hosts, spec):
        handler = nova_filters.HostFilterHandler()
        found = handler.get_filtered_objects([filters.IncomingSlotFilter()], hosts, spec)
        return [one.host for one in found or ()]

    def test_a_move_goes_to_hosts_with_room(self):
        hosts = [host('full', 2), host('free', 1), host('queue', 1, 1), host('no limit', 9, 0, 0),
                 host('stock', stats={}), host('no report', stats={published.USED: 'x'})]
        self.assertEqual(['free', 'no limit', 'stock', 'no report'],
                         self.passed(hosts, self.move))

    def test_where_all_are_full_all_stay(self):
        hosts = [host('a', 2), host('b', 0, 3)]
        self.assertEqual(['a', 'b'], self.passed(hosts, self.move))
        self.assertEqual([], self.passed([], self.move))

    def test_a_boot_is_never_affected(self):
        hosts = [host('full', 2), host('free')]
        for spec in (self.boot, self.unset):
            self.assertEqual(['full', 'free'], self.passed(hosts, spec))


class TestWeigher(SchedulerCase):

    def order(self, hosts, spec):
        handler = nova_weights.HostWeightHandler()
        weighed = handler.get_weighed_objects([weighers.IncomingLoadWeigher()], hosts, spec)
        return [(one.obj.host, one.weight) for one in weighed]

    def test_a_move_prefers_the_least_load(self):
        hosts = [host('two', 2), host('none'), host('three', 1, 2), host('stock', stats={})]
        found = self.order(hosts, self.move)
        self.assertEqual({'none', 'stock'}, {name for name, _ in found[:2]})
        self.assertEqual(['two', 'three'], [name for name, _ in found[2:]])

    def test_a_boot_is_indifferent(self):
        hosts = [host('two', 2), host('none')]
        self.assertEqual({0.0}, {weight for _, weight in self.order(hosts, self.boot)})

    def test_its_multiplier(self):
        self.set_option('incoming_weight_multiplier', -1.0, 'migpolicy')
        hosts = [host('none'), host('two', 2)]
        self.assertEqual(['two', 'none'], [name for name, _ in self.order(hosts, self.move)])
        hosts[0].aggregates = [types.SimpleNamespace(
            metadata={'migpolicy_incoming_weight_multiplier': '1.0'})]
        self.assertEqual(1.0, weighers.IncomingLoadWeigher().weight_multiplier(hosts[0]))
