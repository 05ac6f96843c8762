#!lua flags=allow-oom
-- purge: a tenant's dead letters are forgotten at once, with what they asked and what they left.
-- USES  keys
-- KEYS  namespace
-- ARGV  tenant, allowed_from, id, ...
-- GIVES {OK, purged} how many of them were dead letters

local tenant, allowed_from = ARGV[1], ARGV[2]

local purged = 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local facts = redis.call('HMGET', key('job', id), 'tenant', 'state', 'attempt', 'idem', 'reply')
  if facts[1] == tenant and facts[2] == allowed_from then
    redis.call('DEL', key('job', id), key('request', id), key('result', id), key('out', id, facts[3]))
    if facts[4] then redis.call('DEL', key('idem', tenant, facts[4])) end
    if facts[5] then redis.call('DEL', key('reply', facts[5])) end
    redis.call('ZREM', key('owned', tenant), id)
    redis.call('ZREM', key('dead', tenant), id)
    redis.call('ZREM', key('expiry'), id .. ' ' .. tenant)
    purged = purged + 1
  end
end
return {'OK', purged}
