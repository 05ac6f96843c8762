#!lua flags=allow-oom
-- release: RUNNING -> QUEUED, handed back to the front of its line by the attempt that holds it. Nobody failed, so
--          nothing is counted.
-- USES  keys, members, suspects, flows, caps, limits, line, outbox, end
-- KEYS  namespace
-- ARGV  id, attempt, token, allowed_from
-- GIVES {OK} back in its line, now or before | {FENCED} another attempt owns it | {ILLEGAL} it has ended | {MISSING} no such job

local id, attempt, token, allowed_from = unpack(ARGV)

local job = load_job(id)
if not job then return {'MISSING'} end
if job.attempt ~= attempt or job.token ~= token then return {'FENCED'} end
if job.state == 'queued' then return {'OK'} end
if not is_allowed(job.state, allowed_from) then return {'ILLEGAL'} end

end_lease(id, job)
return_to_line(id, job)
announce(id, 'queued', attempt)
pump(job.model)
return {'OK'}
