"""The changes of the list, as Lua: each runs as one step, so no reader sees half of one.

Redis 6.2 to 8 and Valkey run these. Every key they touch is passed in KEYS and shares one
hash tag, so that they run on a cluster too. Each may be sent twice without harm.
"""

from __future__ import annotations

COMMIT = """
-- KEYS: plates, ids, cancelled, staging
-- ARGV: token, now (ISO), lineage if the list is new, lowest version to go on from,
--       version that the change was planned on ('' = any), schema
local plates, ids, cancelled, staging = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local version = tonumber(redis.call('HGET', plates, '@version') or '0')
if redis.call('HGET', plates, '@token') == ARGV[1] then
  return {version, 0, 'again'}
end
if ARGV[5] ~= '' and tonumber(ARGV[5]) ~= version then
  return {version, 0, 'moved'}
end
local length = redis.call('LLEN', staging)
if length == 0 then
  return {version, 0, 'unstaged'}
end
local page = 3000  -- a multiple of 3: id, plate, record
for first = 0, length - 1, page do
  local staged = redis.call('LRANGE', staging, first, first + page - 1)
  for at = 1, #staged, 3 do
    if redis.call('HEXISTS', cancelled, staged[at]) == 1 then
      return {version, 0, staged[at]}
    end
  end
end
local changed = 0
for first = 0, length - 1, page do
  local staged = redis.call('LRANGE', staging, first, first + page - 1)
  for at = 1, #staged, 3 do
    local id, plate, record = staged[at], staged[at + 1], id_line(staged[at], staged[at + 2])
    local before = redis.call('HGET', ids, id)
    local same = false
    if before then
      same = drop(plates, before, id) == record and before == plate
    end
    local lines = redis.call('HGET', plates, plate)
    redis.call('HSET', plates, plate, lines and (lines .. '\\n' .. record) or record)
    if not before or before ~= plate then
      redis.call('HSET', ids, id, plate)
    end
    if not same then
      changed = changed + 1
    end
  end
end
redis.call('DEL', staging)
if changed > 0 then
  version = math.max(version, tonumber(ARGV[4])) + 1
  redis.call('HSETNX', plates, '@lineage', ARGV[3])
  redis.call('HSET', plates, '@version', string.format('%.0f', version), '@updated_at', ARGV[2],
             '@token', ARGV[1], '@schema', ARGV[6])
end
return {version, changed, ''}
"""

CANCEL = """
-- KEYS: plates, ids, cancelled    ARGV: id, now (ISO), cancellation (JSON)
local plates, ids, cancelled = KEYS[1], KEYS[2], KEYS[3]
local version = tonumber(redis.call('HGET', plates, '@version') or '0')
local plate = redis.call('HGET', ids, ARGV[1])
if not plate then
  return {version, redis.call('HGET', cancelled, ARGV[1]) or ''}
end
-- First the write that Redis allows even when it is out of memory; the rest may follow then.
redis.call('HDEL', ids, ARGV[1])
local line = drop(plates, plate, ARGV[1])
local record = string.sub(line or '', #ARGV[1] + 2) .. '\\n' .. ARGV[3]
redis.call('HSET', cancelled, ARGV[1], record)
version = version + 1
redis.call('HSET', plates, '@version', string.format('%.0f', version), '@updated_at', ARGV[2])
return {version, record}
"""

_SHARED = """
local function id_line(id, record)
  return id .. ' ' .. record
end
-- Take the line of one entry out of its plate's lines; gives back that line.
local function drop(plates, plate, id)
  local lines = redis.call('HGET', plates, plate)
  if not lines then return nil end
  local kept, taken = {}, nil
  for line in string.gmatch(lines, '[^\\n]+') do
    if string.sub(line, 1, #id + 1) == id .. ' ' then
      taken = line
    else
      kept[#kept + 1] = line
    end
  end
  if #kept > 0 then
    redis.call('HSET', plates, plate, table.concat(kept, '\\n'))
  else
    redis.call('HDEL', plates, plate)
  end
  return taken
end
"""

COMMIT = _SHARED + COMMIT
CANCEL = _SHARED + CANCEL
