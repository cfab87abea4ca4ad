# SPDX-License-Identifier: Apache-2.0
"""What the tests of the stack have in common, and the programs that they start; no tests."""
