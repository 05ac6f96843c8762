-- How the next one is picked: start-time fair queueing, once over a model's classes and once over a class's
-- tenants (Goyal, Vin, Cheng: "Start-time Fair Queuing", 1997). A flow is a member of a ZSET by virtual start.

local CLASS_WEIGHT = {interactive = 8, standard = 4, batch = 1}
-- A class that waits is served at least this often, whatever its last job cost. Among a class's tenants there is
-- no such bound: it would let the owner of the oldest backlog overtake everybody.
local CLASS_WAIT_AT_MOST_MS = {interactive = 1000, standard = 5000, batch = 30000}
local BUSY_PERIOD_ENDS_MS = 60000

-- A flow that gets work again starts at the clock, but not before its own last finish tag: leaving the
-- line for a moment earns nothing. The clock has gone by what was reserved; where those who used less are behind it by
-- now, it starts beside the first of them.
local function activate(flows, member)
  if redis.call('ZSCORE', flows, member) then return false end
  local tags = flows .. ':tags'
  local known = redis.call('HMGET', tags, '', member)
  local clock = tonumber(known[1] or 0)
  local first = tonumber(redis.call('ZRANGE', flows, 0, 0, 'WITHSCORES')[2] or clock)
  redis.call('ZADD', flows, math.max(math.min(clock, first), tonumber(known[2] or 0)), member)
  redis.call('PERSIST', tags)
  return true
end

local function deactivate(flows, member)
  local tag = redis.call('ZSCORE', flows, member)
  redis.call('ZREM', flows, member)
  if tag then redis.call('HSET', flows .. ':tags', member, tag) end
  -- What was taken last may still run: only after a while is the busy period over and virtual time starts anew.
  if redis.call('EXISTS', flows) == 0 then redis.call('PEXPIRE', flows .. ':tags', BUSY_PERIOD_ENDS_MS) end
end

-- Gives the busy period in which it was charged.
local function charge(flows, member, amount)
  local tags = flows .. ':tags'
  local known = redis.call('HMGET', tags, '', ' began')
  local clock = math.max(tonumber(known[1] or 0), tonumber(redis.call('ZSCORE', flows, member)))
  local began = known[2] or digits(NOW_US)
  redis.call('HSET', tags, '', clock, ' began', began)
  redis.call('ZINCRBY', flows, amount, member)
  return began
end

-- Gives back what was charged too much. After the busy period there is nothing left to correct.
local function correct(flows, member, amount, began)
  local tags = flows .. ':tags'
  if redis.call('HGET', tags, ' began') ~= began then return end
  if redis.call('ZSCORE', flows, member) then
    redis.call('ZINCRBY', flows, amount, member)
  else
    redis.call('HINCRBYFLOAT', tags, member, amount)
  end
end

-- A class waits from here on for its next turn; only of classes is this kept.
local function note_turn(model, class)
  redis.call('HSET', key('classes', model) .. ':tags', ' served ' .. class, digits(NOW_MS))
end

local function enter_race(model, class, tenant)
  activate(key('tenants', model, class), tenant)
  if activate(key('classes', model), class) then note_turn(model, class) end
end

local function leave_race(model, class, tenant)
  local tenants = key('tenants', model, class)
  deactivate(tenants, tenant)
  if redis.call('EXISTS', tenants) == 0 then deactivate(key('classes', model), class) end
end
