# SPDX-License-Identifier: Apache-2.0
"""What nova-scheduler goes by: the free incoming slots that each host has published."""
