-- Tell how far a table's relay is, and what this server's clock shows. After tag.lua.
--
-- KEYS[1]   how far the table's relay is
--
-- Returns what it holds, "" for nothing that a relay has written; and milliseconds.

local held = redis.pcall('GET', KEYS[1])
return {type(held) == 'string' and held or '', now}
