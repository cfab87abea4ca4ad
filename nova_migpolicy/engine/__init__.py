# SPDX-License-Identifier: Apache-2.0
"""What to do: pure decisions about a live migration, from samples to actions."""
