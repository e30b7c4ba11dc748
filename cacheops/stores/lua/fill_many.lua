-- Store many entries of one table.
--
-- KEYS  the entries
-- ARGV  for each entry its payload, then how long it lives, in milliseconds

for at = 1, #KEYS do
    redis.call('SET', KEYS[at], ARGV[2 * at - 1], 'PX', ARGV[2 * at])
end
return #KEYS
