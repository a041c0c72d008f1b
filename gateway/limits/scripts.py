"""Lua scripts that run inside Redis. Each is one atomic step and uses the server's clock."""

from __future__ import annotations

from enginehouse.gateway.limits.window import PARTS

#: A rate is a hash of part → amount, like `SlidingWindow`. Places are a sorted set of holder → the
#: server's millisecond at which the lease ends. Both expire in Redis.
_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

#: KEYS: rates, then places. ARGV: number of rates, holder, lease (ms); for each rate capacity,
#: length of a part (ms) and amount; for each place its capacity. Returns the index of the key that
#: rejects the claim (0: all is taken), when to try again (ms), and for each rate its part, what
#: remains and the time until all of it is available again (ms).
TAKE = (
    _NOW
    + f"""
local parts = {PARTS}
local rates, holder, lease = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local refused, retry, state = 0, 0, {{}}
for i = 1, rates do
  local capacity = tonumber(ARGV[3 * i + 1])
  local length, amount = tonumber(ARGV[3 * i + 2]), tonumber(ARGV[3 * i + 3])
  local index, used, newest, kept = math.floor(now / length), 0, nil, {{}}
  local all = redis.call('HGETALL', KEYS[i])
  for j = 1, #all, 2 do
    local at, taken = tonumber(all[j]), tonumber(all[j + 1])
    if at < index - parts then
      redis.call('HDEL', KEYS[i], all[j])
    elseif taken > 0 then
      kept[#kept + 1] = {{at, taken}}
      used = used + taken
      newest = math.max(newest or at, at)
    end
  end
  local excess = used + amount - capacity
  if refused == 0 and excess > 0 then
    refused, retry = i, parts * length
    table.sort(kept, function(a, b) return a[1] < b[1] end)
    for _, part in ipairs(kept) do
      excess = excess - part[2]
      if excess <= 0 then
        retry = (part[1] + parts + 1) * length - now
        break
      end
    end
  end
  state[i] = {{capacity, length, amount, index, used, newest}}
end
for i = rates + 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  if refused == 0 and redis.call('ZCARD', KEYS[i]) >= tonumber(ARGV[2 * rates + i + 3]) then
    refused, retry = i, 1000
  end
end
local answer = {{refused, retry}}
for i = 1, rates do
  local capacity, length, amount, index, used, newest = unpack(state[i], 1, 6)
  if refused == 0 and amount > 0 then
    redis.call('HINCRBY', KEYS[i], index, amount)
    redis.call('PEXPIRE', KEYS[i], (parts + 2) * length)
    used, newest = used + amount, index
  end
  answer[#answer + 1] = index
  answer[#answer + 1] = math.max(0, capacity - used)
  answer[#answer + 1] = newest and (newest + parts + 1) * length - now or 0
end
if refused == 0 then
  for i = rates + 1, #KEYS do
    redis.call('ZADD', KEYS[i], now + lease, holder)
    redis.call('PEXPIRE', KEYS[i], lease)
  end
end
return answer
"""
)

#: KEYS: one rate. ARGV: length of a part (ms), the part of the reservation, the difference (below
#: 0: it is returned to that part). A positive difference is charged at the current time.
SETTLE = (
    _NOW
    + f"""
local length, difference = tonumber(ARGV[1]), tonumber(ARGV[3])
if difference > 0 then
  redis.call('HINCRBY', KEYS[1], math.floor(now / length), difference)
  redis.call('PEXPIRE', KEYS[1], ({PARTS} + 2) * length)
else
  local taken = redis.call('HGET', KEYS[1], ARGV[2])
  if taken then
    redis.call('HSET', KEYS[1], ARGV[2], math.max(0, taken + difference))
  end
end
return 0
"""
)

#: KEYS: places. ARGV: lease (ms), then holders.
RENEW = (
    _NOW
    + """
local lease = tonumber(ARGV[1])
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], now + lease, ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], lease)
return 0
"""
)

#: Amounts reserved of a budget: a hash of holder → ``ends tokens micros``.
_WRITE = """
local function write(key, holder, length, tokens, micros)
  redis.call('HSET', key, holder, string.format('%d %d %d', now + length, tokens, micros))
  if redis.call('PTTL', key) < length then
    redis.call('PEXPIRE', key, length)
  end
end
"""

#: KEYS: the amounts held of one tenant's or key's budgets. ARGV: holder, lease (ms), tokens and
#: millionths to hold, and what the ledger leaves of each, empty where there is no budget. Returns 1
#: if it fits and is held, else 0, and the sum that all other holders hold.
HOLD = (
    _NOW
    + _WRITE
    + """
local tokens, micros = 0, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local ends, t, m = string.match(all[i + 1], '^(%d+) (%d+) (%d+)$')
  if tonumber(ends) <= now then
    redis.call('HDEL', KEYS[1], all[i])
  else
    tokens, micros = tokens + t, micros + m
  end
end
local function fits(left, used, more)
  return left == '' or (used < tonumber(left) and used + more <= tonumber(left))
end
local t, m = tonumber(ARGV[3]), tonumber(ARGV[4])
local all_fit = fits(ARGV[5], tokens, t) and fits(ARGV[6], micros, m)
if all_fit and t + m > 0 then
  write(KEYS[1], ARGV[1], tonumber(ARGV[2]), t, m)
end
return {all_fit and 1 or 0, tokens, micros}
"""
)

#: KEYS: the amounts held of one tenant's or key's budgets. ARGV: lease (ms), holder, tokens and
#: millionths that it holds from now on.
KEEP = (
    _NOW
    + _WRITE
    + """
local t, m = tonumber(ARGV[3]), tonumber(ARGV[4])
if t + m > 0 then
  write(KEYS[1], ARGV[2], tonumber(ARGV[1]), t, m)
else
  redis.call('HDEL', KEYS[1], ARGV[2])
end
return 0
"""
)
