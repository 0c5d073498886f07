"""The changes of the list, as Lua: each runs as one step, so no reader sees half of one.

A small change is one script (``CHANGE``). A large one is staged in pages (``STAGE``) as the
other side of the fields it touches, shown by ``COMMIT`` in one write, and made plain by
``RESOLVE`` in pages; ``watchlist.rows`` has the format. No script takes more than some
milliseconds, so Redis goes on serving lookups all the while.

Redis 6.2 to 8 and Valkey run these. Every key they touch is passed in KEYS and shares one
hash tag, so that they run on a cluster too. Each may be sent twice without harm.

Plates with a ``?`` or a ``*`` are patterns: the set ``patterns`` names them, ``@patterns`` is the
version that last changed one.

Operations, three words each:

    put     plate  ID JSON           put an entry on the list, or replace it
    cancel  id     the JSON of why   take an entry off the list, and keep why
    p i c   field  value             set a field of a hash to what it once was
"""

from __future__ import annotations

_CELLS = r"""
local MARK, BETWEEN, WITHIN = '\29', '\30', '\31'
local ID = 16         -- characters of an entry's id
local MOST = 65536  -- bytes in one field: a hundred entries of one plate, or more
local HASHES, PATTERNS = {p = KEYS[1], i = KEYS[2], c = KEYS[3]}, KEYS[4]
local about = redis.call('HMGET', KEYS[1], '@version', '@token', '@bulk', '@pending', '@entries')
local version, bulk, pending = tonumber(about[1] or '0'), about[3], about[4]
local entries = tonumber(about[5] or redis.call('HLEN', KEYS[2]))
local own = nil          -- token of the large change that this script belongs to
local spoilt = false     -- a field is written that a pending large change has another side of
local cells, order = {p = {}, i = {}, c = {}}, {}
local NONE = {value = ''}  -- stands for a field that was read and is not there, until it is changed

-- A field to be read or changed; all are written at the end.
local function take(kind, field, value)
  local found
  local first = string.find(value, MARK, 1, true)
  if not first then
    found = {kind = kind, field = field, before = value, value = value, was = value}
  else
    local second = string.find(value, MARK, first + 1, true)
    local before, token = string.sub(value, 1, first - 1), string.sub(value, first + 1, second - 1)
    local now = before
    if token == own or token == bulk then now = string.sub(value, second + 1) end
    if token ~= own and token == bulk then before = now end
    found = {kind = kind, field = field, before = before, value = now, was = now, token = token}
  end
  cells[kind][field] = found
  order[#order + 1] = found
  return found
end

local function cell(kind, field)
  local found = cells[kind][field]
  if found == NONE then return take(kind, field, '') end
  return found or take(kind, field, redis.call('HGET', HASHES[kind], field) or '')
end

-- Read at once what the operations will need, nearly always all of it.
local function prefetch(first)
  local wanted = {p = {}, i = {}, c = {}}
  local function want(kind, field)
    if cells[kind][field] == nil then
      cells[kind][field] = false
      local fields = wanted[kind]
      fields[#fields + 1] = field
    end
  end
  for at = first, #ARGV, 3 do
    local kind, name = ARGV[at], ARGV[at + 1]
    if kind == 'put' then
      want('p', name)
      name = string.sub(ARGV[at + 2], 1, ID)
    elseif kind ~= 'cancel' then
      want(kind, name)
    end
    if kind == 'put' or kind == 'cancel' then
      want('i', name)
      want('c', name)
    end
  end
  for kind, fields in pairs(wanted) do
    if #fields > 0 then
      local values = redis.call('HMGET', HASHES[kind], unpack(fields))
      for number = 1, #fields do
        local value = values[number]
        if value then take(kind, fields[number], value) else cells[kind][fields[number]] = NONE end
      end
    end
  end
end

-- Take the line of one entry out of a plate's lines, or put another in its place.
local function edit(at, id, line)
  local value = at.value
  if value == '' then
    at.value = line or ''
    return nil
  end
  local first, start = 1, id .. ' '
  if string.sub(value, 1, #start) ~= start then
    first = (string.find(value, '\n' .. start, 1, true) or -1) + 1
  end
  if first == 0 then
    if line then at.value = value .. '\n' .. line end
    return nil
  end
  local last = (string.find(value, '\n', first, true) or #value + 1) - 1
  local parts = {}
  if first > 1 then parts[1] = string.sub(value, 1, first - 2) end
  if line then parts[#parts + 1] = line end
  if last < #value then parts[#parts + 1] = string.sub(value, last + 2) end
  at.value = table.concat(parts, '\n')
  return string.sub(value, first, last)
end

local changed, refusal = 0, nil

local function put(plate, line)
  local id = string.sub(line, 1, ID)
  if cells.c[id].value ~= '' then
    refusal = 'cancelled ' .. id
    return
  end
  local index = cell('i', id)
  if index.value ~= '' and index.value ~= plate then
    edit(cell('p', index.value), id, nil)
  end
  local at = cell('p', plate)
  if edit(at, id, line) ~= line then changed = changed + 1 end
  if #at.value > MOST then refusal = 'full ' .. plate end
  index.value = plate
end

local function cancel(id, said)
  local index = cell('i', id)
  if index.value == '' then
    refusal = 'absent ' .. id
    return
  end
  local taken = edit(cell('p', index.value), id, nil) or ''
  cell('c', id).value = string.sub(taken, ID + 2) .. '\n' .. said
  index.value = ''
  changed = changed + 1
end

local function operate(first)
  prefetch(first)
  for at = first, #ARGV, 3 do
    local kind, name, value = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    if kind == 'put' then
      put(name, value)
    elseif kind == 'cancel' then
      cancel(name, value)
    else
      local one = cell(kind, name)
      if one.value ~= value then
        one.value = value
        if kind == 'p' then changed = changed + 1 end
      end
    end
    if refusal then return end
  end
end

-- What differs, as before-images; by how many entries the list grows; and whether a pattern
-- (a plate with '?' or '*') is among what differs.
local function differences()
  local images, grown, patterns = {}, 0, false
  for _, one in ipairs(order) do
    if one.value ~= one.was then
      if one.kind == 'p' and string.find(one.field, '[?*]') then patterns = true end
      images[#images + 1] = one.kind .. one.field .. WITHIN .. one.before
      if one.kind == 'i' then
        if one.was == '' then grown = grown + 1 elseif one.value == '' then grown = grown - 1 end
      end
      if one.token and one.token ~= own and one.token ~= bulk then spoilt = true end
    end
  end
  return images, grown, patterns
end

-- Write fields: a value each, or '' to take it away. What is taken away goes first: Redis allows
-- that even when it is out of memory, and then the rest too. So an entry can always be cancelled,
-- and nothing can be added.
local function store(written)
  local sets, gone = {p = {}, i = {}, c = {}}, {p = {}, i = {}, c = {}}
  for _, pair in ipairs(written) do
    local one, value = pair[1], pair[2]
    local words = value == '' and gone[one.kind] or sets[one.kind]
    words[#words + 1] = one.field
    if value ~= '' then words[#words + 1] = value end
  end
  for kind, fields in pairs(gone) do
    if #fields > 0 then redis.call('HDEL', HASHES[kind], unpack(fields)) end
  end
  for kind, words in pairs(sets) do
    if #words > 0 then redis.call('HSET', HASHES[kind], unpack(words)) end
  end
  for _, pair in ipairs(written) do
    if pair[1].kind == 'p' and string.find(pair[1].field, '[?*]') then
      redis.call(pair[2] == '' and 'SREM' or 'SADD', PATTERNS, pair[1].field)
    end
  end
end
"""

CHANGE = (
    _CELLS
    + r"""
-- KEYS: plates, ids, cancelled, patterns, changes
-- ARGV: token, now, lineage if the list is new, lowest version to go on from, version that it
--       was planned on ('' = any), schema, by, action, reason, case, operations
if about[2] == ARGV[1] then return {version, 0, 'again'} end
if ARGV[5] ~= '' and tonumber(ARGV[5]) ~= version then return {version, 0, 'moved'} end
operate(11)
if refusal then return {version, 0, refusal} end
local images, grown, patterns = differences()
if #images == 0 then return {version, 0, ''} end
local written = {}
for _, one in ipairs(order) do
  if one.value ~= one.was then written[#written + 1] = {one, one.value} end
end
store(written)
if spoilt and pending then redis.call('HSET', KEYS[1], '@spoilt', pending) end
local before = version
version = math.max(version, tonumber(ARGV[4])) + 1
redis.call('HSETNX', KEYS[1], '@lineage', ARGV[3])
redis.call('HSET', KEYS[1], '@version', string.format('%.0f', version), '@updated_at', ARGV[2],
           '@heartbeat', ARGV[2], '@token', ARGV[1], '@schema', ARGV[6],
           '@entries', string.format('%.0f', entries + grown))
if patterns then redis.call('HSET', KEYS[1], '@patterns', string.format('%.0f', version)) end
local undo = table.concat(images, BETWEEN)
redis.call('XADD', KEYS[5], string.format('%.0f-0', version), 'from', string.format('%.0f', before),
           'at', ARGV[2], 'by', ARGV[7], 'action', ARGV[8], 'reason', ARGV[9], 'case', ARGV[10],
           'changed', changed, 'bytes', #undo, 'token', ARGV[1], 'undo', undo)
redis.call('HINCRBY', KEYS[1], '@history', #undo)
return {version, changed, ''}
"""
)

BEGIN = r"""
-- KEYS: plates, ids, lock    ARGV: token, who (JSON), lease (ms)
-- Answers 'begun', 'busy' and who has a change on its way, or 'left' and the token of a change
-- that nobody goes on with: settle it first.
local holder = redis.call('GET', KEYS[3])
if holder and holder ~= ARGV[2] then return {'busy', holder} end
local pending = redis.call('HGET', KEYS[1], '@pending')
if pending and pending ~= ARGV[1] then
  redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
  return {'left', pending}
end
redis.call('HSETNX', KEYS[1], '@entries', redis.call('HLEN', KEYS[2]))
redis.call('HSET', KEYS[1], '@pending', ARGV[1])
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
return {'begun', ''}
"""

STAGE = (
    _CELLS
    + r"""
-- KEYS: plates, ids, cancelled, patterns, lock, undo
-- ARGV: token, page, who (JSON), lease (ms), operations
own = ARGV[1]
if pending ~= own or (redis.call('GET', KEYS[5]) or ARGV[3]) ~= ARGV[3] then
  return {0, 'lost'}
end
if redis.call('HEXISTS', KEYS[6], ARGV[2]) == 1 then return {0, ''} end
-- A page that follows a refused one: it would be left behind when the change is taken back.
if (redis.call('HGET', KEYS[6], '#pages') or '0') ~= ARGV[2] then return {0, 'lost'} end
operate(5)
if refusal then return {0, refusal} end
local images, grown, patterns = differences()
local undo = table.concat(images, BETWEEN)
redis.call('HSET', KEYS[6], ARGV[2], undo)
local written = {}
for _, one in ipairs(order) do
  if one.value ~= one.was then
    local both = one.before .. MARK .. own .. MARK .. one.value
    written[#written + 1] = {one, one.value == one.before and one.before or both}
  end
end
store(written)
redis.call('HINCRBY', KEYS[6], '#pages', 1)
redis.call('HINCRBY', KEYS[6], '#changed', changed)
redis.call('HINCRBY', KEYS[6], '#grown', grown)
redis.call('HINCRBY', KEYS[6], '#bytes', #undo)
if patterns then redis.call('HSET', KEYS[6], '#patterns', 1) end
redis.call('SET', KEYS[5], ARGV[3], 'PX', ARGV[4])
return {changed, ''}
"""
)

COMMIT = r"""
-- KEYS: plates, changes, lock, undo
-- ARGV: token, now, lineage, lowest version, version it must be at, schema, by, action, reason,
--       case, pages staged, who (JSON), lease (ms)
local about = redis.call('HMGET', KEYS[1], '@version', '@bulk', '@pending', '@spoilt', '@entries')
local version = tonumber(about[1] or '0')
local staged = redis.call('HMGET', KEYS[4], '#pages', '#changed', '#grown', '#bytes', '#patterns',
                          '#version')
local changed = tonumber(staged[2] or '0')
if about[2] == ARGV[1] then return {tonumber(staged[6]), changed, 'again'} end
if about[3] ~= ARGV[1] or staged[1] ~= ARGV[11]
   or (redis.call('GET', KEYS[3]) or ARGV[12]) ~= ARGV[12] then
  return {version, 0, 'lost'}
end
if about[4] == ARGV[1] then return {version, 0, 'spoilt'} end
if tonumber(ARGV[5]) ~= version then return {version, 0, 'moved'} end
if (staged[4] or '0') == '0' then return {version, 0, ''} end
local before = version
version = math.max(version, tonumber(ARGV[4])) + 1
-- First the write that Redis refuses when it is out of memory.
redis.call('XADD', KEYS[2], string.format('%.0f-0', version), 'from', string.format('%.0f', before),
           'at', ARGV[2], 'by', ARGV[7], 'action', ARGV[8], 'reason', ARGV[9], 'case', ARGV[10],
           'changed', changed, 'bytes', staged[4], 'token', ARGV[1], 'pages', staged[1])
redis.call('HSET', KEYS[4], '#version', string.format('%.0f', version))
redis.call('HINCRBY', KEYS[1], '@history', staged[4])
redis.call('HSETNX', KEYS[1], '@lineage', ARGV[3])
redis.call('HSET', KEYS[1], '@version', string.format('%.0f', version), '@updated_at', ARGV[2],
           '@heartbeat', ARGV[2], '@token', ARGV[1], '@bulk', ARGV[1], '@schema', ARGV[6],
           '@entries', string.format('%.0f', tonumber(about[5] or '0') + tonumber(staged[3])))
if staged[5] then redis.call('HSET', KEYS[1], '@patterns', string.format('%.0f', version)) end
redis.call('SET', KEYS[3], ARGV[12], 'PX', ARGV[13])
return {version, changed, ''}
"""

RESOLVE = r"""
-- KEYS: plates, ids, cancelled, patterns, lock, undo    ARGV: token, page, who (JSON), lease (ms)
-- Make the fields of one page plain: the new side if the change was committed, else the old.
redis.call('PEXPIRE', KEYS[5], ARGV[4])  -- a write that is allowed even when out of memory
local hashes, fields = {p = KEYS[1], i = KEYS[2], c = KEYS[3]}, {p = {}, i = {}, c = {}}
local committed = redis.call('HGET', KEYS[1], '@bulk') == ARGV[1]
local mark = '\29' .. ARGV[1] .. '\29'
for item in string.gmatch(redis.call('HGET', KEYS[6], ARGV[2]) or '', '[^\30]+') do
  local names = fields[string.sub(item, 1, 1)]
  names[#names + 1] = string.sub(item, 2, string.find(item, '\31', 1, true) - 1)
end
for kind, names in pairs(fields) do
  local values = #names > 0 and redis.call('HMGET', hashes[kind], unpack(names)) or {}
  local sets, gone = {}, {}
  for number, name in ipairs(names) do
    local value = values[number] or ''
    local first, last = string.find(value, mark, 1, true)
    if first then
      local kept = committed and string.sub(value, last + 1) or string.sub(value, 1, first - 1)
      if kept ~= '' then
        sets[#sets + 1] = name
        sets[#sets + 1] = kept
      else
        gone[#gone + 1] = name
        if string.find(name, '[?*]') then redis.call('SREM', KEYS[4], name) end
      end
    end
  end
  if #gone > 0 then redis.call('HDEL', hashes[kind], unpack(gone)) end
  if #sets > 0 then redis.call('HSET', hashes[kind], unpack(sets)) end
end
return 1
"""

FINISH = r"""
-- KEYS: plates, lock, undo    ARGV: token, who (JSON)
-- The large change has ended: its lock, and its undo log if it was not committed, go.
if redis.call('HGET', KEYS[1], '@pending') == ARGV[1] then
  if redis.call('HGET', KEYS[1], '@bulk') ~= ARGV[1] then redis.call('UNLINK', KEYS[3]) end
  redis.call('HDEL', KEYS[1], '@pending')
end
if redis.call('HGET', KEYS[1], '@spoilt') == ARGV[1] then
  redis.call('HDEL', KEYS[1], '@spoilt')
end
if redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('DEL', KEYS[2]) end
return 1
"""

FORGET = r"""
-- KEYS: plates, changes, undo    ARGV: item of the stream, bytes of its undo log, its token
-- The oldest version's before-images are given up, unless they are still needed to settle it.
if redis.call('HGET', KEYS[1], '@pending') == ARGV[3] then return 0 end
if redis.call('XDEL', KEYS[2], ARGV[1]) == 1 then
  redis.call('UNLINK', KEYS[3])
  redis.call('HINCRBY', KEYS[1], '@history', -ARGV[2])
end
return 1
"""
