-- How much a key, a tenant, a model or everybody may ask for: a bound is a dimension of a scope.
--
-- Rates are leaky buckets as meters (the same as GCRA: ITU-T I.371): the level drains by `limit` units a period, and what is
-- asked for must fit below `capacity`. Levels are kept times the period in us, so that they stay whole numbers.
-- Everything else is membership, never a counter that could leak; bytes change only together with a job's state.

local IS_RATE = {requests = true, tokens = true}

-- From `<dimension> <scope> <limit> <period_ms> <capacity>`, a comma between two: as they are asked for, and as a job's
-- record keeps them, so that it is settled by what it was admitted by.
local function bounds_of(limits)
  local bounds = {}
  for words in string.gmatch(limits or '', '[^,]+') do
    local dimension, scope, limit, period_ms, capacity = string.match(words, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
    bounds[#bounds + 1] = {dimension = dimension, scope = scope, limit = tonumber(limit),
      period_us = tonumber(period_ms) * 1000, capacity = tonumber(capacity)}
  end
  return bounds
end

local function bucket(bound) return key('rate', bound.dimension, digits(bound.period_us), bound.scope) end

-- The level by now, and that now: a clock that was set back drains nothing twice.
local function level_of(bound)
  local level, at_us = string.match(redis.call('GET', bucket(bound)) or '0 0', '^(%d+) (%d+)$')
  at_us = tonumber(at_us)
  return math.max(tonumber(level) - math.max(NOW_US - at_us, 0) * bound.limit, 0), math.max(NOW_US, at_us)
end

local function drains_in_ms(bound, level) return math.ceil(level / bound.limit / 1000) end

local function set_level(bound, level, at_us)
  if level <= 0 then return redis.call('DEL', bucket(bound)) end
  local ttl_ms = drains_in_ms(bound, level) + math.ceil((at_us - NOW_US) / 1000) + 1
  redis.call('SET', bucket(bound), digits(level) .. ' ' .. digits(at_us), 'PX', digits(ttl_ms))
end

local function occupied(bound)
  if bound.dimension == 'queued_bytes' then return tonumber(redis.call('GET', key('queued_bytes', bound.scope)) or 0) end
  return redis.call('SCARD', key(bound.dimension, bound.scope))
end

-- What is left after `amount` more, which is noted in the bound, below zero if that is too much, and the milliseconds until it is all there again or, if
-- it was too much, until it would fit; nobody knows when a place becomes free.
local function left_after(bound, amount)
  if not IS_RATE[bound.dimension] then return bound.limit - occupied(bound) - amount, 0 end
  local level, at_us = level_of(bound)
  level = level + amount * bound.period_us
  bound.level, bound.at_us = level, at_us
  local over = level - bound.capacity * bound.period_us
  if over > 0 then return -1, drains_in_ms(bound, over) end
  return math.floor(-over / bound.period_us), drains_in_ms(bound, level)
end

local function begin_wait(id, job, bounds)
  for _, bound in ipairs(bounds) do
    if bound.dimension == 'queued_jobs' then
      redis.call('SADD', key('queued_jobs', bound.scope), id)
    elseif bound.dimension == 'queued_bytes' then
      redis.call('INCRBY', key('queued_bytes', bound.scope), job.bytes)
    end
  end
end

local function end_wait(id, job, bounds)
  for _, bound in ipairs(bounds) do
    if bound.dimension == 'queued_jobs' then
      redis.call('SREM', key('queued_jobs', bound.scope), id)
    elseif bound.dimension == 'queued_bytes' then
      local queued = key('queued_bytes', bound.scope)
      if redis.call('DECRBY', queued, job.bytes) <= 0 then redis.call('DEL', queued) end
    end
  end
end

-- The job was admitted: it takes what it was found to fit into.
local function take_share(id, job, bounds)
  for _, bound in ipairs(bounds) do
    if IS_RATE[bound.dimension] then
      set_level(bound, bound.level, bound.at_us)
    elseif bound.dimension == 'concurrent_jobs' then
      redis.call('SADD', key('concurrent_jobs', bound.scope), id)
    end
  end
  begin_wait(id, job, bounds)
end

-- The job has ended: its place is free, and tokens that it reserved and did not use are given back.
local function give_back(id, job, used_tokens)
  local bounds = bounds_of(job.limits)
  for _, bound in ipairs(bounds) do
    if bound.dimension == 'tokens' then
      local level, at_us = level_of(bound)
      set_level(bound, level + (used_tokens - tonumber(job.cost)) * bound.period_us, at_us)
    elseif bound.dimension == 'concurrent_jobs' then
      redis.call('SREM', key('concurrent_jobs', bound.scope), id)
    end
  end
  if job.state == 'queued' then end_wait(id, job, bounds) end
end
