# SPDX-License-Identifier: Apache-2.0
"""The serial link to a board: its frames, the host's side of it, a board that is simulated."""
