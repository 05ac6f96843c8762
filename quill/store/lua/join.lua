#!lua flags=allow-oom
-- join: a worker offers its slots and publishes what it found out about its model.
-- USES  keys, members, suspects, flows, caps, limits, line
-- KEYS  namespace
-- ARGV  worker, model, slots, report, tokenizer_digest, tokenizer, and pairs of facts: name, value
-- GIVES {OK, slots} with the model's capacity now

local worker, model, slots, report, tokenizer_digest, tokenizer = unpack(ARGV, 1, 6)
local facts = key('model', model)

redis.call('SADD', key('models'), model)
redis.call('HSET', facts, unpack(ARGV, 7))
if tokenizer ~= '' then redis.call('SET', key('tokenizer', tokenizer_digest), tokenizer, 'NX') end
local before = redis.call('HGET', key('worker', worker), 'model')
if before and before ~= model then withdraw_slots(worker, before) end
redis.call('HSET', key('worker', worker), 'model', model, 'slots', slots, 'report', report,
  'seen', digits(NOW_MS))
redis.call('HDEL', key('worker', worker), 'aboard')
redis.call('PERSIST', key('worker', worker))
redis.call('ZADD', key('seen'), digits(NOW_MS), worker)
local capacity = offer_slots(worker, model, kept_for(worker) and 0 or tonumber(slots))
pump(model)
return {'OK', capacity}
