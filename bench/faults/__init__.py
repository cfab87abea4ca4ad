# SPDX-License-Identifier: Apache-2.0
"""Random faults in migrations on a real OpenStack, and whether all agrees afterwards."""
