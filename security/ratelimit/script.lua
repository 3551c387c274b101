-- GCRA on one key; the same as advance in gcra.go. Time is the server's, in whole microseconds.
-- ARGV: interval, window, cost. Returns {allowed, ahead}.
local interval, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local function keep(ahead)
  redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000))
end
local ahead, cut = 0, false
local stored = tonumber(redis.call('GET', KEYS[1]) or '0')
-- Written so that text that is no number, and NaN, count as a fresh key.
if stored and stored > now then
  ahead = stored - now
  if ahead > window then
    ahead, cut = window, true
  end
end
local after = ahead + cost * interval
if after > window then
  if cut then keep(ahead) end
  return {0, ahead}
end
if cost > 0 then keep(after) end
return {1, after}
