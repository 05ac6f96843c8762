#!lua flags=allow-oom
-- decline: a ticket comes back unclaimed from a worker that stops. QUEUED stays QUEUED, at the front of its line,
--          and the next ticket is for somebody else.
-- USES  keys, members, suspects, flows, caps, limits, line
-- KEYS  namespace
-- ARGV  id, seq
-- GIVES {OK} back in its line | {STALE} overtaken, claimed or ended | {MISSING} no such job

local id, seq = unpack(ARGV)

local job = load_job(id)
if not job then return {'MISSING'} end
if job.state ~= 'queued' or job.seq ~= seq then return {'STALE'} end
if redis.call('ZREM', key('tickets', job.model), id) == 0 then return {'STALE'} end

return_to_line(id, job)
pump(job.model)
return {'OK'}
