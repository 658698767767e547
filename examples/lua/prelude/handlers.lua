-- Handlers: which function answers which message.
--
-- A pattern (a text: the Action; a table: members and tags; a function of the message) says skip (false, nil, 0,
-- "skip"), break (true, -1, "break": this handler answers, none after it) or continue (1, "continue": this one, and
-- those after it are asked too). A handler is a function of the message, or a table of patterns and functions, of which
-- the first that matches is called. What no handler answered for good goes to the one called "_default".

local utils = require ".utils"

-- `handlers` is global state of the process: it survives in the memory.
local handlers = { _version = "weft", list = {}, coroutines = {}, onceNonce = 0, utils = require ".handlers-utils" }

local ADVICE = [[Handlers take a name, a pattern, a handler and, if it is not to run for ever, how often it runs:
  Handlers.add("ping", "Ping", function(msg) msg.reply({ Data = "pong" }) end)
  Handlers.add("pay", { Action = "Pay", Quantity = "^%d+$" }, pay, 3)
  Handlers.add("Ping", function(msg) … end)   -- name and Action in one]]

local function is_pattern(value)
  local kind = type(value)
  return kind == "string" or kind == "function" or kind == "table"
end

-- (name, pattern, handler, runs) out of what was given.
local function arguments(first, second, third, fourth)
  local name, pattern, handle, runs
  local callable = type(third) == "function" or type(third) == "table"
  if type(first) == "string" and is_pattern(second) and callable then
    name, pattern, handle, runs = first, second, third, fourth
  elseif type(first) == "string" and is_pattern(third) and fourth ~= nil then
    name, pattern, handle, runs = first, second, fourth, nil
  elseif type(first) == "string" and (type(second) == "function" or type(second) == "table") and (third == nil or type(third) == "number" or third == "inf") then
    name, pattern, handle, runs = first, first, second, third
  end
  if not name or not (type(handle) == "function" or type(handle) == "table") then error(ADVICE, 3) end
  if runs == "inf" then runs = nil end
  if runs ~= nil and (type(runs) ~= "number" or runs < 1) then error(ADVICE, 3) end
  return name, pattern, handle, runs
end

local function place_of(name)
  for index, handler in ipairs(handlers.list) do
    if handler.name == name then return index end
  end
end

-- A new handler at `place`, or in the place of the one that has its name.
local function put(place, name, pattern, handle, runs)
  local known = place_of(name)
  local handler = { name = name, pattern = pattern, handle = handle, maxRuns = runs }
  if known then handlers.list[known] = handler
  elseif place then table.insert(handlers.list, place, handler) end
  return #handlers.list
end

function handlers.add(...) return put(#handlers.list + 1, arguments(...)) end
function handlers.append(...) return put(#handlers.list + 1, arguments(...)) end
function handlers.prepend(...) return put(1, arguments(...)) end

function handlers.before(other)
  assert(type(other) == "string", "Handlers.before: the name has to be a string")
  return { add = function(...) return put(place_of(other), arguments(...)) end }
end

function handlers.after(other)
  assert(type(other) == "string", "Handlers.after: the name has to be a string")
  return { add = function(...)
    local place = place_of(other)
    return put(place and place + 1, arguments(...))
  end }
end

function handlers.remove(name)
  assert(type(name) == "string", "Handlers.remove: the name has to be a string")
  local place = place_of(name)
  if place then table.remove(handlers.list, place) end
end

-- A handler for one message. With a pattern and a function only, it needs no name.
function handlers.once(...)
  local name, pattern, handle = ...
  if select("#", ...) == 2 then
    name, pattern, handle = "_once_" .. handlers.onceNonce, ...
    handlers.onceNonce = handlers.onceNonce + 1
  end
  return put(1, arguments(name, pattern, handle, 1))
end

-- Waits (over messages, however long) for one that matches, and returns it.
function handlers.receive(pattern)
  local waiting = coroutine.running()
  if not coroutine.isyieldable() then error("Receive works in handlers and in Eval only", 2) end
  handlers.coroutines[#handlers.coroutines + 1] = waiting
  handlers.once(pattern, function(message)
    for index, one in ipairs(handlers.coroutines) do
      if one == waiting then
        table.remove(handlers.coroutines, index)
        break
      end
    end
    local resume = { coroutine.resume(waiting, message) }
    if not resume[1] then error(resume[2], 0) end
  end)
  return coroutine.yield({ From = "[coroutine]", pattern = pattern })
end

-- The function that a handler's table has for this message.
function handlers.generateResolver(resolvers)
  return function(message)
    for _, pattern in ipairs(utils.keys(resolvers)) do
      local handle = resolvers[pattern]
      if type(pattern) ~= "string" and utils.matchesSpec(message, pattern) then
        if type(handle) == "table" then return handlers.generateResolver(handle)(message) end
        return handle(message)
      end
    end
  end
end

local VERDICTS = {
  [true] = "break", ["break"] = "break", [-1] = "break",
  [1] = "continue", ["continue"] = "continue",
  [false] = "skip", [0] = "skip", skip = "skip",
}

local function verdict(pattern, message)
  local answer = utils.matchesSpec(message, pattern)
  if answer == nil then return "skip" end
  if type(answer) == "string" then return VERDICTS[answer] or "skip" end
  if VERDICTS[answer] then return VERDICTS[answer] end
  error("a pattern has to answer true, false, \"break\", \"continue\", \"skip\", -1, 0 or 1, not " .. tostring(answer), 0)
end

local function run(handler, message, env)
  if handler.maxRuns then
    handler.maxRuns = handler.maxRuns - 1
    if handler.maxRuns < 1 then
      local place = place_of(handler.name)
      if place and handlers.list[place] == handler then table.remove(handlers.list, place) end
    end
  end
  local handle = handler.handle
  if type(handle) == "table" then handle = handlers.generateResolver(handle) end
  return handle(message, env)
end

-- Asks the handlers in their order. A copy of the list: handlers add and remove handlers.
function handlers.evaluate(message, env)
  assert(type(message) == "table" and type(env) == "table", "Handlers.evaluate: message and environment have to be tables")
  local fallback
  for _, handler in ipairs(table.move(handlers.list, 1, #handlers.list, 1, {})) do
    if handler.name == "_default" then
      fallback = handler
    else
      local answer = verdict(handler.pattern, message)
      if answer ~= "skip" then run(handler, message, env) end
      if answer == "break" then return end
    end
  end
  if fallback then run(fallback, message, env) end
end

return handlers
