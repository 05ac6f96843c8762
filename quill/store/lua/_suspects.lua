-- Jobs that may have killed their workers, and what keeps them from doing more harm.
--
-- A worker that is gone without a word may have been killed from outside, so its jobs have only `lost` it. A `stall`
-- is a crash that a supervisor saw, or a loss under a job that was the only suspect aboard. Suspects are under way
-- one a worker at most, the others wait apart; from the third stall on a job has a worker to itself, so that whoever
-- is failed as poison was alone with what it killed.

local SUSPECT_FROM_STALLS = 2
local ALONE_FROM_STALLS = 3
local POISON_FROM_STALLS = 3
local LOST_AT_MOST = 20

local function is_suspect(job)
  return tonumber(job.stalls or 0) >= SUSPECT_FROM_STALLS or tonumber(job.lost or 0) > LOST_AT_MOST
end

local function must_run_alone(job) return tonumber(job.stalls or 0) >= ALONE_FROM_STALLS end

local function has_room_for_suspects(model)
  local workers = redis.call('HLEN', key('members', model))
  return redis.call('SCARD', key('suspects', model)) < math.max(workers, 1)
end

-- Whether the suspect may wait in its line with the others.
local function may_get_under_way(id, model)
  local under_way = key('suspects', model)
  if redis.call('SISMEMBER', under_way, id) == 1 then return true end
  if not has_room_for_suspects(model) then return false end
  redis.call('SADD', under_way, id)
  return true
end

local function is_beside_a_suspect(worker, model)
  return redis.call('SINTERCARD', 2, key('held', worker), key('suspects', model), 'LIMIT', 1) == 1
end

local function kept_for(worker) return redis.call('HGET', key('worker', worker), 'kept_for') end

-- From here on the worker gets no other job. It stays a member, of no slots.
local function keep_worker(worker, id, model)
  redis.call('HSET', key('worker', worker), 'kept_for', id)
  if is_seen(worker) then
    offer_slots(worker, model, 0)
  else
    redis.call('PEXPIRE', key('worker', worker), WORKER_TTL_MS)
  end
end

-- The job that had a worker to itself, or waited for that, needs it no more.
local function free_worker(id, job)
  if not must_run_alone(job) or not job.worker or kept_for(job.worker) ~= id then return end
  local record = key('worker', job.worker)
  redis.call('HDEL', record, 'kept_for')
  local model, slots = unpack(redis.call('HMGET', record, 'model', 'slots'))
  if is_seen(job.worker) and model then offer_slots(job.worker, model, tonumber(slots)) end
end
