#!lua flags=allow-oom
-- cancel: QUEUED | RUNNING -> CANCELLED at the owner's wish. The attempt that runs is fenced from here on, and its
--         worker is told at once; should that get lost, its next renewal says the same.
-- USES  keys, members, suspects, flows, caps, limits, line, outbox, end
-- KEYS  namespace
-- ARGV  id, tenant, allowed_from, cancelled_fault
-- GIVES {OK, state} cancelled, now or before | {ENDED, state} it has ended otherwise | {MISSING} the tenant has no such job

-- A worker that does not listen for this long has lost the job anyway.
local STOPS_TTL_MS = 60000

local id, tenant, allowed_from, cancelled_fault = unpack(ARGV)

local job = load_job(id)
if not job or job.tenant ~= tenant then return {'MISSING'} end
if job.state == 'cancelled' then return {'OK', job.state} end
if not is_allowed(job.state, allowed_from) then return {'ENDED', job.state} end

if job.state == 'running' then
  end_lease(id, job)
  local stops = key('stops', job.worker)
  redis.call('LPUSH', stops, id)
  redis.call('PEXPIRE', stops, STOPS_TTL_MS)
else
  leave_line(id, job)
  redis.call('HINCRBY', key('job', id), 'seq', 1)
end
retire(id, job, 'cancelled', cancelled_fault)
pump(job.model)
return {'OK', 'cancelled'}
