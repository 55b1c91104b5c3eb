-- One call of one holder (a process, say) about one limit. All times are this server's own, in milliseconds; holders
-- tell ages, so that no two clocks meet. A call that comes twice gets the answer of the first time.
--
-- KEYS  1 books (hash)  2 settled (zset: "number:calls:holder" by when they are free)
--       3 leases (zset: "holder:number" by when they are dead)
--       4 waiting (zset: holders by when they last got something)  5 holders (zset: by when they were last heard)
-- ARGV  kind ("window" | "bucket" | "quota"), holder, number of the call, then for a window and a bucket:
--       need, want, limit, period, ttl, skew, hold, label, rate (calls a millisecond), and three for each report:
--       lease, calls, age (less than 0: given back unused; 0 calls: the lease is alive)
--       for a quota: window, label, limit, the holder's calls before this one, and how many more.
-- In the books: run, hold, used | tokens and at, serial, "l:" a lease's calls, "a:" a holder's number and answer,
--       "w:" what a holder wants, "g:" when it last got something, "u:" what it has of a window; for people kind,
--       label, limit and period.

local books, settled, leases, waiting, holders = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local kind, me, number = ARGV[1], ARGV[2], tonumber(ARGV[3])
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function figure(name)
  return tonumber(call('HGET', books, name) or '0')
end

-- A day or the like: a count for each window. Each holder tells its own sum, so what this server forgot comes back.
if kind == 'quota' then
  local window, label, limit = ARGV[4], ARGV[5], ARGV[6]
  local sum = tonumber(ARGV[7]) + tonumber(ARGV[8])
  local last, known = string.match(call('HGET', settled, me) or '0 0', '^(%S+) (%S+)$')
  local used = figure('t:' .. window)
  if number > tonumber(last) then
    used = math.max(0, used + sum - tonumber(known))
    call('HSET', settled, me, number .. ' ' .. sum)
  end
  -- A later window was counted under a wrong clock, or this one is: what counts there counts here too, once.
  local all = call('HGETALL', books)
  for i = 1, #all, 2 do
    local later = string.match(all[i], '^t:(.*)$')
    if later and later > window then
      used = used + tonumber(all[i + 1]) - figure('p:' .. later)
      call('HSET', books, 'p:' .. later, all[i + 1])
    end
  end
  call('HSET', books, 't:' .. window, used, 'kind', kind, 'label', label, 'limit', limit, 'period', 0)
  call('PEXPIRE', books, 3456000000)
  call('PEXPIRE', settled, 3456000000)
  return {used}
end

local need, want, limit = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local period, ttl, skew, hold = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local label, rate = ARGV[11], tonumber(ARGV[12])
local keep = period + ttl + skew + 1000

local answered = call('HGET', books, 'a:' .. me)
if answered then
  local last, grant, over, room, sharing = string.match(answered, '^(%d+) (%-?%d+) (%d+) (%-?%d+) (%d+)$')
  if number <= tonumber(last) then
    if number < tonumber(last) then grant = 0 end -- it was under way for long: nobody waits for it any more
    return {tonumber(grant), math.max(0, tonumber(over) - now), tonumber(room), tonumber(sharing)}
  end
end

-- Another run of the server, or another server: what was granted under the last one may not be known here.
local info = call('INFO', 'server')
local run, up = string.match(info, 'run_id:(%w+)'), tonumber(string.match(info, 'uptime_in_seconds:(%d+)')) * 1000
local before = call('HGET', books, 'run')
local tokens = tonumber(call('HGET', books, 'tokens') or limit)
local at = tonumber(call('HGET', books, 'at') or '0')
if before ~= run then
  local missing = period + ttl + skew - (before and 0 or up)
  if kind == 'window' and missing > 0 then hold = math.max(hold, missing) end
  if kind == 'bucket' then tokens, at = before and 0 or math.min(limit, up * rate), now end
  call('HSET', books, 'run', run)
end
local held = figure('hold')
if hold > 0 and now + hold > held then
  held = now + hold
  call('HSET', books, 'hold', held)
end

-- The books: what holders report, who has died, what is free again.
local used = figure('used')
tokens = math.min(limit, tokens + math.max(0, now - at) * rate)

local function whose(lease)
  return string.match(lease, '^[^:]*')
end

local function settle(free, calls, holder)
  call('ZADD', settled, free, call('HINCRBY', books, 'serial', 1) .. ':' .. calls .. ':' .. holder)
end

local more = {} -- by holder
local function count(calls, holder)
  used = used + calls
  more[holder] = (more[holder] or 0) + calls
end

for i = 13, #ARGV, 3 do
  local lease, calls, age = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local left = figure('l:' .. lease)
  if kind == 'bucket' then
    tokens = math.min(limit, tokens + calls)
  elseif calls == 0 then
    call('ZADD', leases, 'XX', now + ttl + skew, lease)
  else
    local known = math.min(calls, left)
    if known > 0 and known == left then
      call('HDEL', books, 'l:' .. lease)
      call('ZREM', leases, lease)
    elseif known > 0 then
      call('HINCRBY', books, 'l:' .. lease, -known)
    end
    if age < 0 then
      count(-known, whose(lease))
    else
      settle(now - age + period + 1, calls, whose(lease))
      count(calls - known, whose(lease)) -- of a lease that was given up, or is not known here: rather counted twice
    end
  end
end
for _, lease in ipairs(call('ZRANGEBYSCORE', leases, '-inf', now)) do -- counted as used at the last possible moment
  settle(tonumber(call('ZSCORE', leases, lease)) + period, call('HGET', books, 'l:' .. lease), whose(lease))
  call('HDEL', books, 'l:' .. lease)
  call('ZREM', leases, lease)
end
for _, one in ipairs(call('ZRANGEBYSCORE', settled, '-inf', now)) do
  local calls, holder = string.match(one, ':(%d+):(.*)$')
  count(-tonumber(calls), holder)
end
call('ZREMRANGEBYSCORE', settled, '-inf', now)
for holder, calls in pairs(more) do
  if calls ~= 0 and call('HINCRBY', books, 'u:' .. holder, calls) <= 0 then call('HDEL', books, 'u:' .. holder) end
end

-- Who shares it, and who waits.
call('ZADD', holders, now, me)
for _, gone in ipairs(call('ZRANGEBYSCORE', holders, '-inf', now - keep)) do
  call('HDEL', books, 'a:' .. gone, 'w:' .. gone, 'g:' .. gone)
  call('ZREM', waiting, gone)
end
call('ZREMRANGEBYSCORE', holders, '-inf', now - keep)
local sharing = math.max(1, call('ZCOUNT', holders, now - period, '+inf'))
local look = math.max(500, period / 6) -- who waits asks again after so long at the latest; after twice it has gone
local ahead, room = 0, kind == 'bucket' and math.floor(tokens + 0.000001) or limit - used
local share = limit / sharing
local mine = math.floor(share) - figure('u:' .. me) -- of the share, what is left

local function known(some) -- of some holders: what the first wants, what it has, what the second wants, and so on
  local names = {}
  for i, one in ipairs(some) do names[2 * i - 1], names[2 * i] = 'w:' .. one, 'u:' .. one end
  local found = #names > 0 and call('HMGET', books, unpack(names)) or {}
  for i = 1, #found do found[i] = tonumber(found[i] or '0') end
  return found
end

if need > 0 then
  want = math.min(math.max(need, math.min(want, math.floor(limit / (3 * sharing)))), limit)
  call('ZADD', waiting, figure('g:' .. me), me) -- in turn: who was late the last time has not lost its place
  call('HSET', books, 'w:' .. me, want)
  local there, before = {}, {}
  for _, one in ipairs(call('ZRANGEBYSCORE', holders, now - 2 * look, '+inf')) do there[one] = true end
  for _, other in ipairs(call('ZRANGE', waiting, 0, -1)) do
    if other == me then break end
    if there[other] then
      before[#before + 1] = other
    else
      call('ZREM', waiting, other)
      call('HDEL', books, 'w:' .. other)
    end
  end
  local found = known(before)
  for i = 1, #found, 2 do
    local waits = found[i] > share or found[i] + found[i + 1] <= share -- it may have that by now, if I may
    if want > mine or waits then ahead = ahead + found[i] end
  end
else
  call('ZREM', waiting, me)
  call('HDEL', books, 'w:' .. me)
end

-- What is left of the others' shares, and wanted. It is kept for them as long as a lost answer may keep them away: else
-- those that are there would take all that becomes free at once, and who was away would wait for another period.
local away = 600
local function kept()
  local others, all = {}, 0
  for _, other in ipairs(call('ZRANGEBYSCORE', holders, now - away, '+inf')) do
    if other ~= me then others[#others + 1] = other end
  end
  local found = known(others)
  for i = 1, #found, 2 do
    local left = math.floor(share - found[i + 1])
    if found[i] > 0 and found[i] <= left then all = all + math.min(3 * found[i], left) end
  end
  return all
end

local function freed(calls, within) -- how long until so many more are free, as far as is known; nil: not within
  if kind == 'bucket' then return math.max(1, (calls + room - tokens) / rate) end
  local found = call('ZRANGEBYSCORE', settled, '-inf', now + within, 'WITHSCORES')
  for i = 1, #found, 2 do
    calls = calls - tonumber(string.match(found[i], ':(%d+):'))
    if calls <= 0 then return math.max(1, tonumber(found[i + 1]) - now) end
  end
end

local grant, wait = 0, 0
if held > now then
  wait = held - now
elseif need > 0 then
  local there = room - ahead
  if kind == 'window' and want > mine and need <= share then there = math.min(there, math.max(mine, room - kept())) end
  local whole = there < want and kind == 'window' and freed(want - there, period / 50)
  if there >= want then
    grant = want
  elseif whole then -- rather a little later and whole than now and in crumbs
    wait = whole
  elseif there >= need then
    grant = there
  else
    wait = math.min(room - ahead >= need and away or look, freed(need - there, look) or look)
  end
end
if grant > 0 then
  if kind == 'bucket' then
    tokens = tokens - grant
  else
    used = used + grant
    call('HINCRBY', books, 'u:' .. me, grant)
    local lease = me .. ':' .. number
    call('HSET', books, 'l:' .. lease, grant)
    call('ZADD', leases, now + ttl + skew, lease)
  end
  room = room - grant
  call('ZREM', waiting, me)
  call('HSET', books, 'g:' .. me, now)
end

wait = math.ceil(wait)
if kind == 'bucket' then
  call('HSET', books, 'tokens', string.format('%.6f', tokens), 'at', now)
else
  call('HSET', books, 'used', used)
end
call('HSET', books, 'kind', kind, 'label', label, 'limit', limit, 'period', period)
call('HSET', books, 'a:' .. me, string.format('%d %d %d %d %d', number, grant, now + wait, room, sharing))
for _, key in ipairs(KEYS) do call('PEXPIRE', key, keep) end
return {grant, wait, room, sharing}
