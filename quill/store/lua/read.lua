#!lua flags=no-writes
-- read: a job as its owner may see it.
-- USES  keys
-- KEYS  namespace
-- ARGV  tenant, id, ...
-- GIVES {OK, {fields, request, result|false, position|false}|false, ...} one entry an id, false for no such job

local reply = {'OK'}
for i = 2, #ARGV do
  local id = ARGV[i]
  local fields = redis.call('HGETALL', key('job', id))
  local job = {}
  for j = 1, #fields, 2 do job[fields[j]] = fields[j + 1] end
  local entry = false
  if job.tenant == ARGV[1] then
    local rank = job.state == 'queued'
      and redis.call('ZRANK', key('line', job.model, job.class, job.tenant), id)
    entry = {fields, redis.call('GET', key('request', id)), redis.call('GET', key('result', id)),
      rank and rank + 1}
  end
  reply[#reply + 1] = entry
end
return reply
