# SPDX-License-Identifier: Apache-2.0
"""Recovery's view of this host, and its way to watch a migration that an earlier process began."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from nova import objects
from oslo_log import log as logging

from nova_migpolicy.compute import compat
from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import hooks as hooks_mod
from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import nova_records
from nova_migpolicy.compute import peers
from nova_migpolicy.compute import written as written_mod
from nova_migpolicy.monitor import adopted
from nova_migpolicy.monitor import domains
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.policy import resolve
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)
End = outcome_mod.End
