-- Make every entry that depends on these tags a miss, now and for reads under way. Marks of writers stay (R11). After tag.lua.
--
-- KEYS      the tags
--
-- Returns how many tags were there.

local found = 0
for at = 1, #KEYS do
    if is_clean(read_tag(KEYS[at])) then
        redis.call('DEL', KEYS[at])
        found = found + 1
    end
end
return found
