# SPDX-License-Identifier: Apache-2.0
"""What libvirt tells of jobs and of arrivals."""

from __future__ import annotations

import time

import libvirt
import testtools

from bench.storm import watch
from lab import domain
from tests.unit.monitor import fakes

OUT = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT


def guest(name, stats=None):
    """A domain with what libvirt says of its job, or why it does not."""
    return fakes.Domain(UUIDString=name, jobStats={} if stats is None else stats)


class _Connection:

    def __init__(self):
        self.domains = []

    def listAllDomains(self, flags):
        return self.domains

    def domainEventRegisterAny(self, domain, number, call, opaque):
        self.call = call
        return 7

    def domainEventDeregisterAny(self, number):
        self.gone = number

    def close(self):
        pass


class _Host:
    name = 'n1'

    def __init__(self):
        self.connection = _Connection()

    def another_connection(self):
        return self.connection


def sends(name, sent, elapsed_ms=0):
    return guest(name, {'operation': OUT, 'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED,
                        'memory_processed': sent, 'time_elapsed': elapsed_ms})


class TestSource(testtools.TestCase):

    def test_a_job_from_its_begin_to_its_end(self):
        host = _Host()
        source = watch.Source(host)
        self.addCleanup(source.stop)
        began_s = time.monotonic()
        host.connection.domains = [sends('a', 5, 2000), sends('b', 7), guest('c')]
        domain.wait_until(lambda: len(source.jobs) == 2)
        self.assertLess(source.jobs['a'].began_s, began_s)
        self.assertGreaterEqual(source.jobs['b'].began_s, began_s)
        host.connection.domains = [sends('b', 9), guest('c')]
        domain.wait_until(lambda: source.jobs['a'].ended_s and source.jobs['b'].sent_bytes == 9)
        # Of one that does not say it is not known that it has ended.
        host.connection.domains = [guest('b', fakes.error(libvirt.VIR_ERR_OPERATION_TIMEOUT)),
                                   sends('d', 1)]
        domain.wait_until(lambda: 'd' in source.jobs)
        self.assertIsNone(source.jobs['b'].ended_s)
        self.assertEqual((2, None), (source.most, source.error))

    def test_one_that_does_not_answer(self):
        host = _Host()
        source = watch.Source(host)
        self.addCleanup(source.stop)
        host.connection.domains = [guest('a', fakes.error(libvirt.VIR_ERR_RPC))]
        domain.wait_until(lambda: source.error is not None)


class TestDestination(testtools.TestCase):

    def test_who_comes(self):
        host = _Host()
        seen = watch.Destination(host)
        tell = host.connection.call

        def told(name, event, detail):
            tell(None, guest(name), event, detail, None)

        told('a', libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED)
        told('b', libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED)
        self.assertEqual(2, seen.coming())
        # In post-copy it runs, and its data still flow.
        told('a', libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY)
        told('a', libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_ADDED)
        self.assertEqual(2, seen.coming())
        told('a', libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED)
        told('b', libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED)
        self.assertEqual(0, seen.coming())
        self.assertEqual(['a', 'b', 'a', 'b'], [name for _, name, _ in seen.changes])
        seen.stop()
        self.assertEqual(7, host.connection.gone)
