# SPDX-License-Identifier: Apache-2.0
"""What Nova is relied on for, checked against the Nova that is found first on PYTHONPATH.

Run once for each release, and from 33 on once more with native threads:
OS_NOVA_DISABLE_EVENTLET_PATCHING is "true" for those and "false" for eventlet. Nova decides about
its threads when it is imported, so that comes first.
"""

from importlib import metadata
import os

if metadata.version('nova').startswith('31.'):
    # It runs under eventlet alone; without, its driver would wait for ever.
    os.environ.pop('OS_NOVA_DISABLE_EVENTLET_PATCHING', None)

from nova import monkey_patch

if hasattr(monkey_patch, 'patch'):      # up to Nova 31 the import has done it
    monkey_patch.patch()
