#!lua flags=allow-oom
-- leave: a worker takes its slots back; what it runs stays its own until it ends or its lease does.
-- USES  keys
-- KEYS  namespace
-- ARGV  worker, model
-- GIVES {OK, slots} with the model's capacity now

local worker, model = unpack(ARGV)
local facts, members = key('model', model), key('members', model)

local slots = tonumber(redis.call('HGET', members, worker) or 0)
redis.call('HDEL', members, worker)
return {'OK', redis.call('HINCRBY', facts, 'capacity', -slots)}
