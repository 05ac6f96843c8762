-- A model's capacity is what its members offer, and changes only with them.

-- Of the record of a worker that is gone. Who is in `seen` keeps its record, however long the store was away.
local WORKER_TTL_MS = 60000

local function is_seen(worker) return redis.call('ZSCORE', key('seen'), worker) end

-- A worker on which jobs run though it offers no slots: it drains, is kept for one job, or fell silent. What they hold
-- takes no room from others.
local function note_outside(worker, model)
  if redis.call('EXISTS', key('held', worker)) == 1 then redis.call('SADD', key('outside', model), worker) end
end

-- Gives the capacity that is there now.
local function offer_slots(worker, model, slots)
  local members = key('members', model)
  local before = tonumber(redis.call('HGET', members, worker) or 0)
  redis.call('HSET', members, worker, slots)
  if slots > 0 then redis.call('SREM', key('outside', model), worker) else note_outside(worker, model) end
  return redis.call('HINCRBY', key('model', model), 'capacity', slots - before)
end

-- Gives the capacity that is left.
local function withdraw_slots(worker, model)
  local members = key('members', model)
  local slots = tonumber(redis.call('HGET', members, worker) or 0)
  redis.call('HDEL', members, worker)
  note_outside(worker, model)
  -- Not `-slots`: Redis writes minus zero as `-0`, and does not read it.
  return redis.call('HINCRBY', key('model', model), 'capacity', 0 - slots)
end

-- Jobs that run on nobody's offered slots. Workers that have none left are forgotten here.
local function count_outside(model)
  local jobs = 0
  for _, worker in ipairs(redis.call('SMEMBERS', key('outside', model))) do
    local held = redis.call('SCARD', key('held', worker))
    if held == 0 then redis.call('SREM', key('outside', model), worker) end
    jobs = jobs + held
  end
  return jobs
end

-- A job begins to run. Of a worker that was forgotten a moment ago it was aboard too, whatever becomes of it.
local function board(worker, model, id)
  redis.call('SADD', key('held', worker), id)
  if tonumber(redis.call('HGET', key('members', model), worker) or 0) > 0 then return end
  note_outside(worker, model)
  local record = key('worker', worker)
  if redis.call('HEXISTS', record, 'aboard') == 1 then redis.call('HINCRBY', record, 'aboard', 1) end
end
