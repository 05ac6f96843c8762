-- When a waiting job will probably start: by its rank, its line's share of the model, and how long runs take.

-- Weight of the latest run in the mean.
local RUN_SMOOTHING = 1 / 16

local function note_run(job)
  if not job.started then return end
  local facts = key('model', job.model)
  local run_ms = NOW_MS - tonumber(job.started)
  local mean_ms = tonumber(redis.call('HGET', facts, 'run_ms') or run_ms)
  redis.call('HSET', facts, 'run_ms', string.format('%.1f', mean_ms + (run_ms - mean_ms) * RUN_SMOOTHING))
end

local function share_of(model, class)
  local weights = 0
  for _, name in ipairs(redis.call('ZRANGE', key('classes', model), 0, -1)) do weights = weights + CLASS_WEIGHT[name] end
  return CLASS_WEIGHT[class] / math.max(weights, 1) / math.max(redis.call('ZCARD', key('tenants', model, class)), 1)
end

-- Milliseconds until the job with this rank in its line starts; false if nobody serves the model, or has yet.
-- Tenants of a class count alike, so one of less weight than the others waits longer than this says.
local function starts_in_ms(model, class, rank, cap)
  local facts = redis.call('HMGET', key('model', model), 'capacity', 'run_ms', 'waiting')
  local capacity, run_ms = tonumber(facts[1] or 0), tonumber(facts[2] or 0)
  if capacity <= 0 or run_ms == 0 then return false end
  local before = math.min(rank / share_of(model, class), tonumber(facts[3]))
  local turns = before / capacity
  if cap > 0 then turns = math.max(turns, rank / cap) end
  return math.floor(turns * run_ms)
end
