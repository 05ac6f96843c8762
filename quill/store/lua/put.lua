#!lua
-- put: a document (a tenant, an API key) is written, changed or removed, if it is still what its writer read. Every
--      gateway hears of it by the event stream.
-- USES  keys, document
-- KEYS  namespace
-- ARGV  kind, owner, id, before, after; empty before it is written and after it is removed
-- GIVES {OK} done, now or before | {CHANGED} somebody else changed it meanwhile

local kind, owner, id, before, after = unpack(ARGV)

if not write_document(kind, owner, id, before, after) then return {'CHANGED'} end
redis.call('XADD', key('events'), 'MAXLEN', '~', 20000, '*', 'changed', kind .. ':' .. id)
return {'OK'}
