"""Dates and times of the admin, as the pages write them; with seconds, by which readings are told apart.

A language's formats go before DATE_FORMAT and its like in the settings.
"""

DATE_FORMAT = SHORT_DATE_FORMAT = "j M Y"
TIME_FORMAT = "H:i:s"
DATETIME_FORMAT = SHORT_DATETIME_FORMAT = f"{DATE_FORMAT}, {TIME_FORMAT}"
