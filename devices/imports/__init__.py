"""Import files of readings: formats, files, writers, and the loop that joins them, lowest floor first.

errors -> formats (prsa, long) -> files -> writers -> importer; the command `import_readings` is the front.
"""
