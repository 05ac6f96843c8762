#!lua flags=no-writes
-- read: a job as its owner may see it.
-- USES  keys, members, suspects, flows, caps, limits, line, estimate
-- KEYS  namespace
-- ARGV  tenant, with_requests (0 | 1), id, ...
-- GIVES {OK, {fields, request|false, result|false, position|false, starts_ms|false}|false, ...} one entry an id, false for no such job

-- Its rank in its line, and the time of its probable start.
local function outlook(id, job)
  if job.state ~= 'queued' then return false, false end
  local rank = redis.call('ZRANK', line_of(job.model, job.class, job.tenant), id)
  if rank then
    local wait_ms = starts_in_ms(job.model, job.class, rank + 1, tonumber(job.cap or 0))
    return rank + 1, wait_ms and digits(NOW_MS + wait_ms)
  end
  return false, redis.call('ZSCORE', key('delayed', job.model), id)
    or redis.call('ZSCORE', key('tickets', job.model), id) and digits(NOW_MS)
end

local tenant, with_requests = unpack(ARGV, 1, 2)
local reply = {'OK'}
for i = 3, #ARGV do
  local id = ARGV[i]
  local fields = redis.call('HGETALL', key('job', id))
  local job = {}
  for j = 1, #fields, 2 do job[fields[j]] = fields[j + 1] end
  local entry = false
  if job.tenant == tenant then
    local position, starts_ms = outlook(id, job)
    local request = with_requests == '1' and redis.call('GET', key('request', id))
    entry = {fields, request, redis.call('GET', key('result', id)), position, starts_ms}
  end
  reply[#reply + 1] = entry
end
return reply
