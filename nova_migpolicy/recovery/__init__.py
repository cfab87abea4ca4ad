# SPDX-License-Identifier: Apache-2.0
"""What happened to a migration while nobody watched it: evidence in, one step out; pure."""
