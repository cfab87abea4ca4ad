# SPDX-License-Identifier: Apache-2.0
"""nova-compute dies at each step around the copy, at the source and at the destination."""

from __future__ import annotations

from tests.stack.support import deaths


class AroundTheCopyTest(deaths.DeathsTest):
    """Nova does not boot what is down."""


class AfterTheCopyTest(deaths.DeathsTest):
    """Nova would boot a second copy."""

    nova_conf = {**deaths.DeathsTest.nova_conf,
                 'DEFAULT': {'resume_guests_state_on_host_boot': True}}


deaths.add_tests(AroundTheCopyTest, deaths.AROUND_THE_COPY)
deaths.add_tests(AfterTheCopyTest, deaths.AFTER_THE_COPY)
