# SPDX-License-Identifier: Apache-2.0
"""nova-compute dies at the steps around the copy that tests/stack leaves out."""

from __future__ import annotations

from tests.stack.support import deaths


class AroundTheCopyTest(deaths.DeathsTest):
    """Nova does not boot what is down."""


class AfterTheCopyTest(deaths.BootingDeathsTest):
    """Nova would boot a second copy."""


deaths.add_tests(AroundTheCopyTest, deaths.others(deaths.AROUND_THE_COPY))
deaths.add_tests(AfterTheCopyTest, deaths.others(deaths.AFTER_THE_COPY))
