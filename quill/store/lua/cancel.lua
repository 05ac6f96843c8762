#!lua flags=allow-oom
-- cancel: QUEUED -> CANCELLED at the owner's wish.
-- USES  keys, line, end
-- KEYS  namespace
-- ARGV  id, tenant, allowed_from, cancelled_fault
-- GIVES {OK, state} cancelled, now or before | {ENDED, state} it runs or has ended otherwise | {MISSING} the tenant has no such job

local id, tenant, allowed_from, cancelled_fault = unpack(ARGV)

local job = load_job(id)
if not job or job.tenant ~= tenant then return {'MISSING'} end
if job.state == 'cancelled' then return {'OK', job.state} end
if not is_allowed(job.state, allowed_from) then return {'ENDED', job.state} end

leave_line(id, job)
redis.call('HINCRBY', key('job', id), 'seq', 1)
retire(id, job, 'cancelled', cancelled_fault)
pump(job.model)
return {'OK', 'cancelled'}
