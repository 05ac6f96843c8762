#!lua flags=no-writes
-- list: an owner's documents of a kind, in the order of their ids.
-- USES  keys
-- KEYS  namespace
-- ARGV  kind, owner, id, ...; without ids all of them
-- GIVES {OK, document|false, ...}

local kind, owner = ARGV[1], ARGV[2]

local ids = {unpack(ARGV, 3)}
if #ids == 0 then
  ids = redis.call('SMEMBERS', key('listed', kind, owner))
  table.sort(ids)
end
local reply = {'OK'}
for _, id in ipairs(ids) do reply[#reply + 1] = redis.call('GET', key(kind, id)) end
return reply
