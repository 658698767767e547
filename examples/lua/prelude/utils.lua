-- Small functions on lists and tables, and how a message is compared with what a handler asks for.

local native = ...
local utils = { _version = "weft" }

local function is_list(value)
  if type(value) ~= "table" then return false end
  local n = 0
  for key in pairs(value) do
    if math.type(key) ~= "integer" or key < 1 then return false end
    n = n + 1
  end
  return n == #value
end

local function need(condition, what)
  if not condition then error(what, 3) end
end

-- Whether `value` is what `pattern` asks for: "_" is anything but nil, a function decides, a list is one of several,
-- a text is that text or a Lua pattern (if it has one of its special characters); others have to be equal.
function utils.matchesPattern(pattern, value, message)
  if pattern == nil then return false end
  if pattern == "_" then return value ~= nil end
  if type(pattern) == "function" then
    local answer = pattern(value, message)
    return answer ~= nil and answer ~= false and answer ~= 0 and answer ~= "skip"
  end
  if type(pattern) == "table" then
    for _, one in ipairs(pattern) do
      if utils.matchesPattern(one, value, message) then return true end
    end
    return false
  end
  if value == nil then return false end
  if type(pattern) == "string" then
    local text = tostring(value)
    if text == pattern then return true end
    return type(value) ~= "table" and pattern:find("[%^%$%(%)%%%.%[%]%*%+%-%?]") ~= nil and text:match(pattern) ~= nil
  end
  return value == pattern
end

-- Whether the message has all that `spec` names (members or tags), or is accepted by it (a function), or has it as
-- Action (a text).
function utils.matchesSpec(message, spec)
  if type(spec) == "function" then return spec(message) end
  if type(spec) == "string" then return message.Action == spec end
  if type(spec) ~= "table" then return false end
  for name, pattern in pairs(spec) do
    local value = message[name]
    if value == nil and type(message.Tags) == "table" then value = message.Tags[name] end
    if value == nil then return false end
    if not (type(pattern) == "table" and value == pattern) and not utils.matchesPattern(pattern, value, message) then
      return false
    end
  end
  return true
end

-- With fewer arguments than `f` wants, a function that waits for the rest.
function utils.curry(f, count)
  need(type(f) == "function", "curry: the first argument has to be a function")
  count = count or debug.getinfo(f, "u").nparams
  if count < 2 then return f end
  local function collect(have, n)
    return function(...)
      local all, total = table.move(have, 1, n, 1, {}), n + select("#", ...)
      table.move({ ... }, 1, select("#", ...), n + 1, all)
      if total >= count then return f(table.unpack(all, 1, total)) end
      return collect(all, total)
    end
  end
  return collect({}, 0)
end

utils.concat = utils.curry(function(a, b)
  need(is_list(a) and is_list(b), "concat: both arguments have to be lists")
  return table.move(b, 1, #b, #a + 1, table.move(a, 1, #a, 1, {}))
end, 2)

-- reduce(f, initial, list): f(accumulated, item, index)
utils.reduce = utils.curry(function(f, initial, list)
  need(type(f) == "function", "reduce: the first argument has to be a function")
  need(is_list(list), "reduce: the third argument has to be a list")
  local result = initial
  for index, item in ipairs(list) do
    if result == nil then result = item else result = f(result, item, index) end
  end
  return result
end, 3)

utils.map = utils.curry(function(f, list)
  need(type(f) == "function", "map: the first argument has to be a function")
  need(is_list(list), "map: the second argument has to be a list")
  local result = {}
  for index, item in ipairs(list) do result[index] = f(item, index) end
  return result
end, 2)

utils.filter = utils.curry(function(f, list)
  need(type(f) == "function", "filter: the first argument has to be a function")
  need(is_list(list), "filter: the second argument has to be a list")
  local result = {}
  for _, item in ipairs(list) do
    if f(item) then result[#result + 1] = item end
  end
  return result
end, 2)

utils.find = utils.curry(function(f, list)
  need(type(f) == "function", "find: the first argument has to be a function")
  need(is_list(list), "find: the second argument has to be a list")
  for _, item in ipairs(list) do
    if f(item) then return item end
  end
end, 2)

utils.propEq = utils.curry(function(name, value, object) return object[name] == value end, 3)
utils.prop = utils.curry(function(name, object) return object[name] end, 2)
utils.includes = utils.curry(function(value, list)
  need(is_list(list), "includes: the second argument has to be a list")
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end, 2)

function utils.reverse(list)
  need(is_list(list), "reverse: the argument has to be a list")
  local result = {}
  for index = #list, 1, -1 do result[#result + 1] = list[index] end
  return result
end

-- compose(f, g)(x) = f(g(x))
function utils.compose(...)
  local functions = { ... }
  return function(value)
    for index = #functions, 1, -1 do value = functions[index](value) end
    return value
  end
end

-- Keys and values in an order that is the same on every node and in every run.
local function sorted(object)
  local keys, done = native.names(object)
  if keys then
    if not done then table.sort(keys) end
    return keys
  end
  keys = {}
  for key in pairs(object) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    local kind_a, kind_b = type(a), type(b)
    if kind_a ~= kind_b then return kind_a < kind_b end
    if kind_a == "number" or kind_a == "string" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

function utils.keys(object)
  need(type(object) == "table", "keys: the argument has to be a table")
  return sorted(object)
end

function utils.values(object)
  need(type(object) == "table", "values: the argument has to be a table")
  local result = {}
  for index, key in ipairs(sorted(object)) do result[index] = object[key] end
  return result
end

-- Names that were seen, in their one spelling. Senders choose them, so there is a bound.
local SPELLINGS = 256
local spelled, spellings = {}, 0

-- Data-Protocol, x-reference and ACTION as messages show them: Data-Protocol, X-Reference, Action.
function utils.normalize(name)
  local known = spelled[name]
  if known then return known end
  local spelling = name:gsub("[^%-]+", function(part) return part:sub(1, 1):upper() .. part:sub(2):lower() end)
  if spellings >= SPELLINGS or #name > 64 then return spelling end
  spelled[name], spellings = spelling, spellings + 1
  return spelling
end

function utils.capitalize(text) return (text:gsub("^%l", string.upper)) end

utils.isList = is_list
return utils
