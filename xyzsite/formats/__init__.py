"""How Django writes dates and times, a language each (FORMAT_MODULE_PATH)."""
