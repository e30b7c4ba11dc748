-- End the grace period of a recognised server (R22): its operator knows that no writer has used another one. After
-- identity.lua.
--
-- Returns 1; 0 for a server that is not recognised, or is a replica.

if not known or told('role') ~= 'master' then return 0 end
redis.call('HDEL', KEYS[1], 'grace')
return 1
