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
    local period_us = tonumber(period_ms) * 1000
    bounds[#bounds + 1] = {dimension = dimension, scope = scope, limit = tonumber(limit), period_us = period_us,
      capacity = tonumber(capacity), unit = IS_RATE[dimension] and period_us or 1}
  end
  return bounds
end

local function bucket(bound) return key('budget', bound.dimension, digits(bound.period_us), bound.scope) end

local function drains_in_ms(bound, level) return math.ceil(level / bound.limit / 1000) end

-- Notes the level by now, and that now, as a clock that was set back drains nothing twice; since when the bucket is not
-- empty; and of since then how many units were put in, given back, and are reserved by jobs that have not ended.
local function read_bucket(bound)
  local level, at_us, since_us, put, back, open =
    string.match(redis.call('GET', bucket(bound)) or '', '^(%d+) (%d+) (%d+) (%d+) (%S+) (%d+)$')
  bound.at_us = math.max(NOW_US, tonumber(at_us or 0))
  bound.level = math.max(tonumber(level or 0) - (bound.at_us - tonumber(at_us or 0)) * bound.limit, 0)
  if bound.level == 0 then
    bound.since_us, bound.put, bound.back, bound.open = bound.at_us, 0, 0, 0
  else
    bound.since_us, bound.put, bound.back, bound.open = tonumber(since_us), tonumber(put), tonumber(back), tonumber(open)
  end
end

local function write_bucket(bound)
  if bound.level <= 0 then return redis.call('DEL', bucket(bound)) end
  local ttl_ms = drains_in_ms(bound, bound.level) + math.ceil((bound.at_us - NOW_US) / 1000) + 1
  local words = string.format('%.0f %.0f %.0f %.0f %.17g %.0f',
    bound.level, bound.at_us, bound.since_us, bound.put, bound.back, bound.open)
  redis.call('SET', bucket(bound), words, 'PX', digits(ttl_ms))
end

local function pour(bound, amount)
  bound.level, bound.put = bound.level + amount * bound.unit, bound.put + amount
end

local function occupied(bound)
  if bound.dimension == 'queued_bytes' then return tonumber(redis.call('GET', key('queued_bytes', bound.scope)) or 0) end
  return redis.call('SCARD', key(bound.dimension, bound.scope))
end

-- By how much `amount` more would be too much, in the level's unit.
local function excess(bound, amount)
  if IS_RATE[bound.dimension] then read_bucket(bound) else bound.level = occupied(bound) end
  return bound.level + (amount - bound.capacity) * bound.unit
end

-- What is left after `amount` more, and the milliseconds until it is all there again; nobody knows when a place becomes
-- free.
local function room_after(bound, amount)
  local level = bound.level + amount * bound.unit
  local left = math.max(math.floor((bound.capacity * bound.unit - level) / bound.unit), 0)
  return left, IS_RATE[bound.dimension] and drains_in_ms(bound, level) or 0
end

-- Until what is too much by `over` would fit: -1 if it fits, 0 if nobody knows.
local function fits_in_ms(bound, over)
  if over <= 0 then return -1 end
  return IS_RATE[bound.dimension] and drains_in_ms(bound, over) or 0
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

-- The job was admitted: it takes what it was found to fit into. Gives a mark for each bucket of tokens, in their order:
-- since when it is not empty, what had been put in, with the job's own, and what had been or may yet be given back for
-- those before it.
local function take_share(id, amounts, bounds)
  local marks = {}
  for _, bound in ipairs(bounds) do
    if IS_RATE[bound.dimension] then
      local amount = amounts[bound.dimension]
      pour(bound, amount)
      if bound.dimension == 'tokens' then
        marks[#marks + 1] = string.format('%.0f %.0f %.17g', bound.since_us, bound.put, bound.back + bound.open)
        bound.open = bound.open + amount
      end
      write_bucket(bound)
    elseif bound.dimension == 'concurrent_jobs' then
      redis.call('SADD', key('concurrent_jobs', bound.scope), id)
    end
  end
  begin_wait(id, {bytes = amounts.queued_bytes}, bounds)
  return table.concat(marks, ',')
end

-- What drained since cannot be given back: it made room for others. First in is first drained, so of a job's tokens at
-- most that is still there which is not of later jobs. Of those it is known how much they put in, and of what was given
-- back how much was not for earlier ones.
local function settle_bucket(bound, reserved, used, mark)
  local since_us, put, back = string.match(mark or '', '^(%d+) (%d+) (%S+)$')
  if used > reserved then pour(bound, used - reserved) end
  -- It was empty since: all of it has drained.
  if tonumber(since_us) ~= bound.since_us then return end
  bound.open = math.max(bound.open - reserved, 0)
  local of_later = bound.put - tonumber(put) - math.max(bound.back - tonumber(back), 0)
  local still_there = bound.level - math.max(of_later, 0) * bound.unit
  local given = math.max(math.min((reserved - used) * bound.unit, still_there), 0)
  bound.level, bound.back = bound.level - given, bound.back + given / bound.unit
end

-- The job has ended: its place is free, and tokens that it reserved and did not use are given back.
local function give_back(id, job, used_tokens, marks)
  local bounds, next_mark = bounds_of(job.limits), string.gmatch(marks or '', '[^,]+')
  for _, bound in ipairs(bounds) do
    if bound.dimension == 'tokens' then
      read_bucket(bound)
      settle_bucket(bound, tonumber(job.cost), used_tokens, next_mark())
      write_bucket(bound)
    elseif bound.dimension == 'concurrent_jobs' then
      redis.call('SREM', key('concurrent_jobs', bound.scope), id)
    end
  end
  if job.state == 'queued' then end_wait(id, job, bounds) end
end
