"""The panel in Django's admin: what the caches do, why, and what can be done about it (docs/how-to/panel.md)."""
