-- One message: from the host's tables to the host's answer. Everything global that a process sees is set up here.

local native = ...
local utils, pretty = require ".utils", require ".pretty"
local ao, handlers, chance = require ".ao", require ".handlers", require ".chance"
local eval = require ".eval"

-- Messages kept in the Inbox; the oldest go first.
local INBOX = 10000

_G.ao, Handlers, Utils = ao, handlers, utils
Inbox, Errors, Output = {}, {}, {}
Name, Owner = Name or "lua", Owner or ""

-- What print collects for the message's Output.
function print(...)
  local parts = table.pack(...)
  for index = 1, parts.n do
    local value = parts[index]
    parts[index] = type(value) == "table" and pretty.tprint(value) or tostring(value)
  end
  Output[#Output + 1] = table.concat(parts, "\t")
end

-- The time of the message: milliseconds without arguments, as AO's processes expect; seconds of a calendar date.
local calendar = os.time
function os.time(date)
  if date ~= nil then return calendar(date) end
  return ao.now or 0
end

function Prompt()
  local c = Colors
  return c.green .. Name .. c.gray .. "@" .. c.blue .. ao._version .. c.gray .. "[Inbox:" .. c.red .. #Inbox .. c.gray .. "]" .. c.reset .. "> "
end

function Send(message)
  if type(message) == "table" and message.Target == nil then
    print("WARN: no Target: the message is kept, but no process receives it")
  end
  local sent = ao.send(message)
  return { output = "Message added to outbox", receive = sent.receive, onReply = sent.onReply }
end

function Spawn(...)
  local sent = ao.spawn(...)
  return { output = "Spawn process request added to outbox", receive = sent.receive }
end

function Assign(assignment)
  local list = assignment
  if type(assignment) == "table" and assignment[1] == nil then list = { assignment } end
  assert(type(list) == "table", "an assignment has to be a table, such as { Processes = { … }, Message = … }")
  for _, one in ipairs(list) do ao.assign(one) end
  return "Assignment added to outbox."
end

function Receive(pattern) return handlers.receive(pattern) end
function Dump(value) return pretty.tprint(value) end
function Tab(message)
  local tags = {}
  for _, tag in ipairs(message.TagArray or message.Tags or {}) do tags[tag.name] = tag.value end
  return tags
end

local function short(address) return address and (address:sub(1, 3) .. "..." .. address:sub(-3)) or "nobody" end

-- Into the Inbox, and (but for the process item itself) a line for the owner.
local function keep(message)
  Inbox[#Inbox + 1] = message
  if #Inbox > INBOX then table.remove(Inbox, 1) end
  if message.Id == ao.id then return end
  local c = Colors
  local what = message.Action and c.gray .. "Action = " .. c.blue .. message.Action
    or c.gray .. "Data = " .. c.blue .. tostring(message.Data):sub(1, 80)
  print(c.gray .. "New Message From " .. c.green .. short(message.From) .. c.gray .. ": " .. what .. c.reset)
end

-- msg.reply and msg.forward.
local function answers(message)
  local about = message["X-Reference"] or message.Reference
  function message.reply(reply)
    assert(type(reply) == "table", "msg.reply wants a table, such as { Data = … }")
    local out = {}
    for name, value in pairs(reply) do out[name] = value end
    out.Target = reply.Target or message["Reply-To"] or message.From
    out["X-Reference"] = about or reply["X-Reference"]
    out["X-Origin"] = message["X-Origin"]
    return ao.send(out)
  end
  function message.forward(target, changes)
    assert(type(target) == "string", "msg.forward wants the id of the process to forward to")
    local out = {}
    for name, value in pairs(ao.sanitize(message)) do
      if type(value) ~= "function" then out[name] = value end
    end
    for name, value in pairs(changes or {}) do out[name] = value end
    out.Target = target
    out["Reply-To"] = message["Reply-To"] or message.From
    out["X-Reference"] = about
    out["X-Origin"] = message["X-Origin"] or message.From
    return ao.send(out)
  end
end

-- The host's message as handlers see it: tag names in one spelling, tags as members, the data as it was sent.
local function read(message)
  local list, map = {}, {}
  for index, tag in ipairs(message.Tags or {}) do
    local name = utils.normalize(tostring(tag.name))
    list[index] = { name = name, value = tag.value }
    if map[name] == nil then map[name] = tag.value end
  end
  message.TagArray, message.Tags = list, map
  ao.normalize(message)
  if message["Data-Base64"] then
    message.Data, message["Data-Base64"] = native.base64_decode(message["Data-Base64"]), nil
  end
  if map["Content-Type"] == "application/json" and type(message.Data) == "string" and message.Data ~= "" then
    local ok, data = pcall(native.json_decode, message.Data)
    if ok then message.Data = data end
  end
  answers(message)
  return message
end

local function tag_of(tags, name)
  for _, tag in ipairs(tags or {}) do
    if tag.name == name then return tag.value end
  end
end

-- Before the first message: whose process it is, what it is called, where its random numbers begin.
local function begin(message, env)
  local process = env.Process or {}
  Owner = tag_of(process.Tags, "From-Process") or process.Owner or message.From
  Name = tag_of(process.Tags, "Name") or Name
  chance.seed(table.concat({ tostring(process.Id), tostring(message.Id), tostring(message["Block-Height"]) }, "\n"))
  Seeded = true
end

-- The process item may bring Lua to begin with: On-Boot = "Data", or the id of a data item that the log carries.
local function on_boot(message)
  local source = message["On-Boot"]
  if source == nil then return end
  local code = message.Data
  if source ~= "Data" then
    code = native.read_file("/data/" .. source)
    if not code then error("On-Boot names " .. tostring(source) .. ", which was not found", 0) end
  end
  eval { Data = code }
end

local function refuse_assignment(message)
  print("Assignment is not trusted! From: " .. tostring(message.From) .. " - Owner: " .. tostring(message.Owner))
  ao.send { Target = message.From, Data = "Assignment is not trusted by this process!" }
end

local function dispatch(message, env)
  -- `From` is another than `Owner` when a process sent it: then the owner has to be one that this process trusts.
  if message.From ~= message.Owner and not ao.isTrusted(message) then
    print("Message is not trusted! From: " .. tostring(message.From) .. " - Owner: " .. tostring(message.Owner))
    return
  end
  if ao.isAssignment(message) and not ao.isAssignable(message) then return refuse_assignment(message) end
  if message.Tags.Type == "Process" and message.Id == ao.id and message.From == Owner then on_boot(message) end
  handlers.evaluate(message, env)
end

handlers.add("_eval", function(message) return message.Action == "Eval" and message.From == Owner end, eval)
handlers.add("_default", function() return true end, keep)

local function traceback(thread, problem)
  if type(problem) == "table" and not (getmetatable(problem) or {}).__tostring then problem = pretty.tprint(problem) end
  return tostring(problem), debug.traceback(thread)
end

local process = { _version = "weft" }

-- The answer to one message. An Error makes the host undo what the message did.
function process.handle(message, env)
  Output = {}
  ao.env, ao.Nonce = env, message.Nonce
  ao.init(env)
  if not Seeded then begin(message, env) end
  ao.now = math.tointeger(tonumber(message.Timestamp)) or 0
  native.set_time(ao.now // 1000)
  message = read(message)
  local is_eval = message.Action == "Eval" and message.From == Owner
  -- A coroutine: Receive stops here and goes on with a later message.
  local thread = coroutine.create(dispatch)
  local ok, problem = coroutine.resume(thread, message, env)
  if not ok then
    local text, trace = traceback(thread, problem)
    if is_eval then return { Error = text } end
    local printed = table.concat(Output, "\n")
    local about = message.Action and " with Action = " .. message.Action or ""
    return { Error = (printed ~= "" and printed .. "\n" or "") .. "error handling message" .. about .. ": " .. text .. "\n" .. trace }
  end
  local prompted, prompt = pcall(Prompt)
  local output = { data = table.concat(Output, "\n"), prompt = prompted and tostring(prompt) or "> " }
  if not is_eval then output.print = true end
  return ao.result { Output = output }
end

return process
