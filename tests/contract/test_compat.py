# SPDX-License-Identifier: Apache-2.0
"""What comes first when Nova's manager is stopped, and the time that there is for it."""

import threading
from unittest import mock

import fixtures

from nova_migpolicy.compute import compat
from nova_migpolicy.compute import stopping as stopping_mod
from tests.contract import base
from tests.contract import computing

WAITS, TRACKS = 33, 34


class TestShutdown(computing.ManagerCase):

    def setUp(self):
        super().setUp()
        self.stopping = mock.create_autospec(stopping_mod.Stopping, instance=True)
        self.order = mock.Mock()
        for name in ('begin', 'wait', 'leave'):
            self.order.attach_mock(getattr(self.stopping, name), name)
        self.order.attach_mock(self.patch(self.manager.driver, 'cleanup_host'), 'cleanup_host')
        self.release, _ = compat.nova_release()
        if self.release >= TRACKS:
            # The pools of the whole process, which could not be made again.
            self.useFixture(fixtures.MockPatch(
                'nova.thread_pool_factory.shutdown_all_executors'))

    def stop(self):
        """Stop the manager as Nova's service does."""
        compat.hook_shutdown(self.manager, self.stopping)
        if self.release < WAITS:
            self.manager.cleanup_host()
        elif self.release == WAITS:
            self.manager.graceful_shutdown()
        else:
            self.manager.graceful_shutdown(160)
        return [call[0] for call in self.order.method_calls]

    def test_nova_34_waits_for_nothing_that_was_left(self):
        if self.release < TRACKS:
            self.skipTest('it does not wait for its tasks')
        ours = self.manager._record_task_start('live_migration', base.UUID)
        others = self.manager._record_task_start('build_and_run_instance', 'other')
        compat.hook_shutdown(self.manager, self.stopping)
        asked = []

        def wait(within_s, needs_time):
            asked.append((within_s, needs_time({base.UUID}), needs_time(())))
            self.manager._record_task_end(others)
            asked.append((within_s, needs_time({base.UUID}), needs_time(())))

        self.stopping.wait.side_effect = wait
        self.stopping.leave.side_effect = lambda: self.manager._record_task_end(ours)
        self.manager.graceful_shutdown(160)
        self.assertEqual([(140.0, True, True), (140.0, False, True)], asked)
        self.assertEqual(['begin', 'wait', 'leave', 'cleanup_host'],
                         [call[0] for call in self.order.method_calls])
        self.assertIn('no in-progress tasks', self.log.output)

    def test_nova_34_has_a_live_migration_as_such_a_task(self):
        if self.release < TRACKS:
            self.skipTest('it does not wait for its tasks')
        self.without_database()
        seen, over = [], threading.Event()

        def migrate(*args):
            seen.extend(self.manager._in_progress_tasks.values())
            over.set()

        self.patch(self.manager, '_do_live_migration', side_effect=migrate)
        data = self.migrate_data()
        self.manager.live_migration(
            self.context, 'dest', self.instance(), False, data.migration, data)
        self.assertTrue(over.wait(computing.LONG_S))
        self.assertEqual([(compat.TASK, base.UUID)], [
            (task['name'], task['instance_uuid']) for task in seen])

    def test_nova_33_waits_for_a_fixed_time(self):
        if self.release != WAITS:
            self.skipTest('it does not')
        with mock.patch('time.sleep') as sleep:
            self.assertEqual(['begin', 'cleanup_host'], self.stop())
        sleep.assert_called_once_with(160)

    def test_older_ones_give_the_time_after_which_the_process_is_ended(self):
        if self.release >= WAITS:
            self.skipTest('it does not stop at once')
        for timeout_s, within_s in ((60, 50.0), (5, 0.0), (0, None)):
            self.order.reset_mock()
            self.patch(compat, 'CONF', mock.Mock(graceful_shutdown_timeout=timeout_s))
            self.manager = type(self.manager)()
            self.order.attach_mock(
                self.patch(self.manager.driver, 'cleanup_host'), 'cleanup_host')
            self.assertEqual(['begin', 'wait', 'cleanup_host'], self.stop())
            self.stopping.wait.assert_called_once_with(within_s)

    def test_a_service_calls_what_is_hooked(self):
        self.patch(compat, 'CONF', mock.Mock(graceful_shutdown_timeout=60))
        with mock.patch('time.sleep'):
            called = self.stop()
        self.assertEqual(('begin', 'cleanup_host'), (called[0], called[-1]))
