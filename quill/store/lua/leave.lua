#!lua flags=allow-oom
-- leave: a worker takes its slots back; what it runs stays its own until it ends or its lease does.
-- USES  keys, members
-- KEYS  namespace
-- ARGV  worker, model
-- GIVES {OK, slots} with the model's capacity now

local worker, model = unpack(ARGV)

if is_seen(worker) then redis.call('HSET', key('worker', worker), 'slots', 0) end
return {'OK', withdraw_slots(worker, model)}
