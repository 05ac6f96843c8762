-- How many of a tenant's jobs may be under way at once, ticketed or running: by membership, never by a counter, so
-- nothing can leak.

-- Whether one more may be; 0 is no cap.
local function take_place(id, tenant, cap)
  if cap == 0 then return true end
  if redis.call('SCARD', key('busy', tenant)) >= cap then return false end
  redis.call('SADD', key('busy', tenant), id)
  return true
end

-- The tenant leaves the race, with its line, until one of its jobs is through.
local function sit_out(model, class, tenant)
  redis.call('SADD', key('capped', tenant), model .. ' ' .. class)
  leave_race(model, class, tenant)
end

local function race_again(tenant)
  for _, flow in ipairs(redis.call('SMEMBERS', key('capped', tenant))) do
    local model, class = string.match(flow, '^(%S+) (%S+)$')
    if redis.call('EXISTS', key('line', model, class, tenant)) == 1 then enter_race(model, class, tenant) end
  end
  redis.call('DEL', key('capped', tenant))
end

-- The job is no longer under way. Its other models' tickets are pushed by the next sweep.
local function make_room(id, job)
  if job.cap and redis.call('SREM', key('busy', job.tenant), id) == 1 then race_again(job.tenant) end
end
