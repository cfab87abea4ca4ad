# SPDX-License-Identifier: Apache-2.0
"""A libvirt with one domain that can be migrated, as far as our driver and its monitor see it.

What happens in the migrate call is a script, in the thread that makes the call; events go to
whoever has registered for them, and statistics are those of the moment.
"""

from __future__ import annotations

import threading

import libvirt

from tests.contract import base

XML = f"""<domain type='qemu'><name>instance-00000001</name><uuid>{base.UUID}</uuid>
<memory unit='MiB'>256</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os>
<devices/></domain>"""
MIB = 1 << 20
RUNNING = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED)
GONE = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED)
# As long as something may take that only happens if all is well.
TIMEOUT_S = 30.0


def error(code, message='libvirt says so'):
    """An error as libvirt raises it."""
    found = libvirt.libvirtError(message)
    found.err = (code, 0, message, 0, '', '', '', 0, 0)
    return found


class Connection:
    """A connection to it; it may die.

    :ivar events: event -> (callback, opaque) of those who are registered
    """

    def __init__(self, domain):
        self.domain = domain
        self.alive = True
        self.events = {}
        self.seen_events = []
        self.looked_up = 0

    def isAlive(self):
        return int(self.alive)

    def getLibVersion(self):
        return 9_000_000

    def getVersion(self):
        return 7_002_000

    def lookupByUUIDString(self, uuid):
        if not self.alive:
            raise error(libvirt.VIR_ERR_RPC, 'the connection is dead')
        if uuid != self.domain.UUIDString():
            raise error(libvirt.VIR_ERR_NO_DOMAIN, f'no domain {uuid}')
        self.looked_up += 1
        return self.domain

    def domainEventRegisterAny(self, domain, event, callback, opaque):
        self.events[event] = (callback, opaque)
        self.seen_events.append(event)
        return event

    def domainEventDeregisterAny(self, event):
        del self.events[event]


class Domain(base.FakeDomain):
    """The domain; `script(domain)` is what happens in its migrate call.

    :ivar stats: of the job; none without one
    """

    def __init__(self, script):
        super().__init__()
        self.connection = Connection(self)
        self.stats = {}
        self.where = RUNNING
        self.aborted = threading.Event()
        self._script = script
        self._looked = threading.Event()

    def migrateToURI3(self, destination, params=None, flags=0):
        super().migrateToURI3(destination, params, flags)
        try:
            self._script(self)
        finally:
            self.stats = {}
        self.where = GONE
        return 0

    def starts_pass(self, number, *, left_mib):
        """A pass begins, and it goes on when somebody has looked at its statistics."""
        sent = 256 * (number - 1)
        self.stats = {
            'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED, 'memory_total': 256 * MIB,
            'memory_processed': sent * MIB, 'memory_remaining': left_mib * MIB,
            'memory_normal': sent * 256, 'memory_constant': 0, 'memory_iteration': number,
            'memory_page_size': 4096, 'memory_dirty_rate': 0,
            # Without a rate nothing is reckoned back to when a late event was sent.
            'memory_bps': 0}
        self._looked.clear()
        self.tell(libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, number)
        if not self._looked.wait(TIMEOUT_S):
            raise AssertionError(f'nobody looked at pass {number}')

    def tell(self, event, *what):
        callback, opaque = self.connection.events[event]
        callback(self.connection, self, *what, opaque)

    def completes(self, downtime_ms):
        """The guest goes over, and libvirt tells so."""
        self.tell(libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
                  libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED)
        self.tell(libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, {
            'downtime': downtime_ms, 'memory_processed': 300 * MIB, 'memory_total': 256 * MIB})

    def is_aborted(self):
        """Wait for an abort, and fail for it as libvirt does."""
        if not self.aborted.wait(TIMEOUT_S):
            raise AssertionError('nobody aborted it')
        raise error(libvirt.VIR_ERR_OPERATION_ABORTED, 'canceled by client')

    def jobStats(self, flags=0):
        found = dict(self.stats) or {'type': libvirt.VIR_DOMAIN_JOB_NONE}
        self._looked.set()
        return found

    def abortJob(self):
        super().abortJob()
        if not self.stats:
            raise error(libvirt.VIR_ERR_OPERATION_INVALID, 'no job is active on the domain')
        self.aborted.set()
        return 0

    def state(self, flags=0):
        return list(self.where)

    def XMLDesc(self, flags=0):
        return XML

    def info(self):
        return [self.where[0], 256 * 1024, 256 * 1024, 1, 0]

    def migrateSetMaxDowntime(self, limit_ms, flags=0):
        self.calls.append(('limit', limit_ms))
        return 0

    def migrateSetMaxSpeed(self, mib_s, flags=0):
        self.calls.append(('speed', mib_s))
        return 0
