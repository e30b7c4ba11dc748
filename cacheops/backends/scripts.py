"""The Lua scripts of a region's caches, each on one key."""

# KEYS[1] the counter, ARGV[1] the number to add. Returns its new value as text (a Lua number would lose digits
# above 2^53), nil where there is no such key, 0 where its value is no 64-bit integer or would not stay one.
INCREMENT = """
if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
local answer = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(answer) == 'table' and answer.err then
  if string.find(answer.err, 'integer') or string.find(answer.err, 'overflow') then return 0 end
  return answer
end
return redis.call('GET', KEYS[1])
"""

# KEYS[1] a key, ARGV[1] the bytes it should hold, "" for none, ARGV[2] those to put there, ARGV[3...] what
# tells SET until when. Returns 1 when done.
REPLACE = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], unpack(ARGV, 2))
return 1
"""

# KEYS[1] a key, ARGV[1] the most milliseconds that it may have left, ARGV[2] the factor by which to lengthen what it
# has. Never shortens, and leaves a key alone that does not expire. Returns 1 where the key is there.
EXTEND = """
local left = redis.call('PTTL', KEYS[1])
local longer = math.min(tonumber(ARGV[1]), math.floor(left * tonumber(ARGV[2])))
if left > 0 and longer > left then redis.call('PEXPIRE', KEYS[1], longer) end
return left == -2 and 0 or 1
"""
