# SPDX-License-Identifier: Apache-2.0
"""What Nova is relied on for, checked against a released Nova."""
