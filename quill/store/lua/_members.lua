-- A model's capacity is what its members offer, and changes only with them.

-- Gives the capacity that is left.
local function withdraw_slots(worker, model)
  local members = key('members', model)
  local slots = tonumber(redis.call('HGET', members, worker) or 0)
  redis.call('HDEL', members, worker)
  return redis.call('HINCRBY', key('model', model), 'capacity', -slots)
end
