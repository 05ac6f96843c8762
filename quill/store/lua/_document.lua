-- A document changes only under the hands of those who read it as it is.

-- Gives false if somebody else changed it meanwhile.
local function write_document(kind, owner, id, before, after)
  local document, listed = key(kind, id), key('listed', kind, owner)
  local now = redis.call('GET', document) or ''
  if now == after then return true end
  if now ~= before then return false end
  if after == '' then
    redis.call('DEL', document)
    redis.call('SREM', listed, id)
  else
    redis.call('SET', document, after)
    redis.call('SADD', listed, id)
  end
  return true
end
