-- A model's capacity is what its members offer, and changes only with them.

local WORKER_TTL_MS = 60000

-- Gives the capacity that is there now.
local function offer_slots(worker, model, slots)
  local members = key('members', model)
  local before = tonumber(redis.call('HGET', members, worker) or 0)
  redis.call('HSET', members, worker, slots)
  return redis.call('HINCRBY', key('model', model), 'capacity', slots - before)
end

-- Gives the capacity that is left.
local function withdraw_slots(worker, model)
  local members = key('members', model)
  local slots = tonumber(redis.call('HGET', members, worker) or 0)
  redis.call('HDEL', members, worker)
  return redis.call('HINCRBY', key('model', model), 'capacity', -slots)
end
