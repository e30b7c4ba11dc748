"""The relay: tells a region of what writers did that mark nothing there, from the database's write-ahead log.

docs/design/invalidation.md, "Follower regions", has its rules; docs/how-to/relay.md how to run it.
"""
