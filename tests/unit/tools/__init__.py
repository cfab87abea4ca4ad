# SPDX-License-Identifier: Apache-2.0
"""How the tests themselves are run; the programs of tools see each other without a package."""

import pathlib
import sys

TOOLS = pathlib.Path(__file__).resolve().parents[3] / 'tools'
if str(TOOLS) not in sys.path:
    sys.path.append(str(TOOLS))
