"""Signals that other code may listen to. Receivers run in the caller's thread and must be quick."""

from django.dispatch import Signal

# A cached read was answered. Sender: the model (None where there is none).
# Arguments: func (for decorators), hit (bool), key (str), op (str).
cache_read = Signal()

# Entries were invalidated. Sender: the model (None for a raw statement or for everything).
# Arguments: table (str), rows (how many row values are known; None for the whole table), source (str).
cache_invalidated = Signal()

# A region became reachable or unreachable. Sender: None. Arguments: region (str), reachable (bool).
region_state_changed = Signal()
