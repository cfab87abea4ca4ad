# SPDX-License-Identifier: Apache-2.0
"""What is taken down when a run of tests ends: by tools/lane.py, and otherwise at exit."""

from __future__ import annotations

import atexit
import contextlib

#: closing it calls all that is registered, once, the last one first; then an error is raised
UP = contextlib.ExitStack()
at_end = UP.callback
atexit.register(UP.close)
