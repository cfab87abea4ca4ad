# SPDX-License-Identifier: Apache-2.0
"""A flavor's policy, an image's and nova.conf's each act; a tenant's is held in."""

from __future__ import annotations

import pathlib

import fixtures
from keystoneauth1 import exceptions

from lab import guests
from tests.stack.support import steering

QUIET = guests.Guest(kind='sweep', memory_mib=128, set_mib=16, rate_mib_s=5)


class SourcesTest(steering.SteeringTest):

    nova_conf = {
        'libvirt': {'live_migration_bandwidth': steering.CAP_MIB_S},
        'migpolicy': {
            'link_mib_s': steering.LINK_MIB_S,
            'initial_downtime_ms': 150,
            'timeout_seconds': 500,
            'image_keys': 'max_downtime_ms,timeout_seconds,bandwidth_mib_s,on_stall,remedies',
            'image_limits': 'max_downtime_ms:200-800',
        },
    }

    def setUp(self):
        super().setUp()
        self.scratch = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def reset_conf(self):
        self.stack.configure(self.nova_conf, ['n1'])
        self.stack.reload('n1')

    def begin(self, run):
        """The journal's first record, once the migration is over."""
        self.assert_moved(self.finish(run))
        [start] = run.records('start')
        return start

    def check(self, start, **expected):
        """Compare values and where they came from."""
        for key, (value, origin) in expected.items():
            self.assertEqual((key, value, origin),
                             (key, start['policy'][key], start['origins'][key]))

    def test_nova_conf_and_the_flavor(self):
        start = self.begin(self.start(QUIET, max_downtime_ms=900, timeout_seconds=400))
        self.check(start, max_downtime_ms=(900, 'flavor'), timeout_seconds=(400, 'flavor'),
                   initial_downtime_ms=(150, 'nova.conf'),
                   bandwidth_mib_s=(steering.CAP_MIB_S, 'nova.conf [libvirt]'),
                   on_stall=('abort', 'profile balanced'))
        # 150 ms less a margin and an overhead, at the link's rate in QEMU's terms at the cap's.
        self.assertEqual(195, start['facts']['qemu_limit_ms'])

    def test_what_does_not_fit_is_left_out_and_told(self):
        """No QEMU of Debian 12 has post-copy over parallel connections."""
        run = self.start(QUIET, remedies='post_copy', parallel_connections=2)
        [started] = self.begin(run)['notes']
        self.assertEqual([started], self.admin.policy(run.server, run.migration)['notes'])
        self.assertIn('post_copy is left out: the QEMU that runs the server', started)
        self.assertIn(started, [event['text'] for event in run.records('event')])

    def test_an_image_goes_to_gentler_values(self):
        image = self.image(QUIET, migpolicy_max_downtime_ms=300,
                           migpolicy_timeout_seconds=200)
        start = self.begin(self.start(QUIET, image=image))
        self.check(start, max_downtime_ms=(300, 'image'), timeout_seconds=(200, 'image'))
        self.assertEqual([], start['problems'])

    def test_an_image_is_obeyed(self):
        """The flavor's downtime would do; the image permits less, and it is stopped."""
        image = self.image(steering.BUSY, migpolicy_max_downtime_ms=300)
        run = self.finish(self.start(image=image, remedies='downtime', max_downtime_ms=2000))
        self.assert_stayed(run)

    def test_a_tenant_cannot_raise_anything_by_an_image(self):
        """As a member of a project, with an image of that project."""
        member = self.stack.client('member')
        hostile = {
            'max_downtime_ms': '2000000', 'timeout_seconds': '1', 'bandwidth_mib_s': '0',
            'on_stall': 'continue', 'remedies': 'post_copy,pause', 'profile': 'nova',
            'max_bandwidth_mib_s': '100000', 'priority': '100', 'on_timeout': 'force_complete',
            'no_such_key': "'; DROP TABLE migrations; --", 'max_throttle_percent': '$(reboot)',
        }
        image = member.image('hostile', QUIET.image(self.scratch / 'hostile.raw'), {
            f'migpolicy_{key}': value for key, value in hostile.items()})
        run = self.start(QUIET, image=image, disk_gib=1, owner=member)
        start = self.begin(run)
        self.check(
            start, max_downtime_ms=(800, 'image, clamped by nova.conf'),
            bandwidth_mib_s=(steering.CAP_MIB_S, 'image, clamped by nova.conf [libvirt]'),
            max_bandwidth_mib_s=(steering.CAP_MIB_S, 'nova.conf [libvirt]'),
            on_stall=('abort', 'image, clamped by profile balanced'),
            profile=('balanced', 'profile balanced'),
            on_timeout=('abort', 'profile balanced'))
        self.assertEqual(120, start['policy']['timeout_seconds'])
        self.assertEqual(['bandwidth', 'downtime'], start['policy']['remedies'])
        log = self.stack.log(run.source).read_text()
        for key in ('no_such_key', 'max_throttle_percent', 'max_bandwidth_mib_s', 'profile'):
            self.assertIn(f'Migration policy: image: {key} = ', log)

    def test_a_bad_value_in_an_image_does_not_fail_the_migration(self):
        image = self.image(QUIET, migpolicy_max_downtime_ms='soon')
        start = self.begin(self.start(QUIET, image=image, max_downtime_ms=450))
        self.check(start, max_downtime_ms=(450, 'flavor'))
        [problem] = start['problems']
        for word in ('max_downtime_ms', 'soon', 'image'):
            self.assertIn(word, problem)

    def test_a_tenant_cannot_write_flavors(self):
        member = self.stack.client('member')
        self.assertRaises(exceptions.Forbidden, member.flavor, 'mine', 64)

    def test_profile_nova_is_stock(self):
        run = self.start(QUIET, profile='nova')
        self.assert_moved(self.finish(run))
        self.assertEqual([], run.records('start'))
        self.assertIn("Profile nova (flavor): Nova's own monitor watches",
                      self.stack.log('n1').read_text())

    def test_the_profiles_file_is_renewed_at_sighup_and_survives_being_broken(self):
        path = self.stack.where.etc / 'profiles.yaml'
        path.write_text('calm:\n  max_downtime_ms: 333\n')
        conf = {**self.nova_conf, 'migpolicy': {
            **self.nova_conf['migpolicy'], 'profiles_file': str(path), 'profile': 'calm'}}
        self.addCleanup(self.reset_conf)
        self.stack.configure(conf, ['n1'])
        self.stack.reload('n1')
        self.wait_logged('n1', 'profile calm')
        path.write_text('calm:\n  max_downtime_ms: a lot\n')
        self.stack.reload('n1')
        self.wait_logged('n1', 'settings in force stay')
        self.assertIn('a lot', self.stack.log('n1').read_text())
        start = self.begin(self.start(QUIET))
        self.check(start, max_downtime_ms=(333, 'profile calm'))
