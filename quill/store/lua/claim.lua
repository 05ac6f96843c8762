#!lua flags=allow-oom
-- claim: QUEUED -> RUNNING by the holder of the newest ticket; QUEUED -> EXPIRED if it comes too late.
-- USES  keys, line, end
-- KEYS  namespace
-- ARGV  id, seq, worker, token, lease_ms, allowed_from, expired_fault
-- GIVES {OK, attempt, request, model, tenant, stream, wait_ms} claimed | {STALE} overtaken, claimed, ended or expired | {MISSING} no such job

local id, seq, worker, token, lease_ms, allowed_from, expired_fault = unpack(ARGV)

local job = load_job(id)
if not job then return {'MISSING'} end
local record = key('job', id)

local function grant(attempt)
  local facts = redis.call('HMGET', record, 'stream', 'created')
  local wait_ms = NOW_MS - math.floor(tonumber(facts[2]) / 1000)
  return {'OK', attempt, redis.call('GET', key('request', id)), job.model, job.tenant, facts[1], wait_ms}
end

-- The reply to this very claim was lost on its way.
if job.state == 'running' and job.token == token then return grant(tonumber(job.attempt)) end
local has_ticket = redis.call('ZSCORE', key('tickets', job.model), id)
if not is_allowed(job.state, allowed_from) or job.seq ~= seq or not has_ticket then return {'STALE'} end

local start_by_ms = redis.call('ZSCORE', key('due'), id)
leave_line(id, job)
if start_by_ms and tonumber(start_by_ms) <= NOW_MS then
  retire(id, job, 'expired', expired_fault)
  pump(job.model)
  return {'STALE'}
end

local attempt = redis.call('HINCRBY', record, 'attempt', 1)
redis.call('HSET', record, 'state', 'running', 'token', token, 'worker', worker, 'produced', 0,
  'started', digits(NOW_MS))
begin_lease(id, job, worker, tonumber(lease_ms))
announce(id, 'running', attempt)
return grant(attempt)
