"""Import files of readings: text to rows, rows to readings, readings to the database; lowest floor first.

errors -> cells -> options -> formats (prsa, long) -> files, lines -> tables -> clocks, writers -> importer; the command
`import_readings` is the front.
"""
