#!lua flags=allow-oom
-- claim: QUEUED -> RUNNING by the holder of the newest ticket; QUEUED -> EXPIRED if it comes too late.
-- USES  keys, members, suspects, flows, caps, limits, line, outbox, end
-- KEYS  namespace
-- ARGV  id, seq, worker, token, lease_ms, allowed_from, expired_fault
-- GIVES {OK, attempt, request, model, tenant, stream, wait_ms, trace|false} claimed | {BUSY} to ask again soon: the job gets this worker to itself as soon as nothing else runs there | {KEPT} handed on: the worker is kept for another job and should be slow to ask for tickets | {STALE} overtaken, claimed, ended or expired | {MISSING} no such job

local BESIDE_A_SUSPECT_PAUSE_MS = 500

local id, seq, worker, token, lease_ms, allowed_from, expired_fault = unpack(ARGV)

local job = load_job(id)
if not job then return {'MISSING'} end
local record = key('job', id)

local function grant(attempt)
  local facts = redis.call('HMGET', record, 'stream', 'created', 'trace')
  local wait_ms = NOW_MS - math.floor(tonumber(facts[2]) / 1000)
  return {'OK', attempt, redis.call('GET', key('request', id)), job.model, job.tenant, facts[1], wait_ms, facts[3]}
end

-- The reply to this very claim was lost on its way.
if job.state == 'running' and job.token == token then return grant(tonumber(job.attempt)) end
local has_ticket = redis.call('ZSCORE', key('tickets', job.model), id)
if not is_allowed(job.state, allowed_from) or job.seq ~= seq or not has_ticket then return {'STALE'} end

-- Not here: it may run on another worker.
local function hand_on(reply, pause_ms)
  redis.call('ZREM', key('tickets', job.model), id)
  return_to_line(id, job, pause_ms)
  pump(job.model)
  return reply
end

local kept = kept_for(worker)
if kept and kept ~= id then return hand_on({'KEPT'}) end
if must_run_alone(job) then
  -- A doubled ticket: the worker that the first one waits at is not needed any more.
  if job.worker ~= worker then free_worker(id, job) end
  keep_worker(worker, id, job.model)
  job.worker = worker
  redis.call('HSET', record, 'worker', worker)
  if redis.call('SCARD', key('held', worker)) > 0 then
    redis.call('ZADD', key('tickets', job.model), digits(NOW_MS + TICKET_TERM_MS), id)
    return {'BUSY'}
  end
elseif is_suspect(job) and is_beside_a_suspect(worker, job.model) then
  return hand_on({'STALE'}, BESIDE_A_SUSPECT_PAUSE_MS)
end

local start_by_ms = redis.call('ZSCORE', key('due'), id)
redis.call('ZREM', key('tickets', job.model), id)
if start_by_ms and tonumber(start_by_ms) <= NOW_MS then
  retire(id, job, 'expired', expired_fault)
  pump(job.model)
  return {'STALE'}
end

if start_by_ms then redis.call('ZREM', key('due'), id) end
local attempt = redis.call('HINCRBY', record, 'attempt', 1)
redis.call('HSET', record, 'state', 'running', 'token', token, 'worker', worker, 'produced', 0,
  'started', digits(NOW_MS))
end_wait(id, job, bounds_of(job.limits))
begin_lease(id, job, worker, tonumber(lease_ms))
announce(id, 'running', attempt)
return grant(attempt)
