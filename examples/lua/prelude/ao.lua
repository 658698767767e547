-- The process as the network sees it: who it is, whom it trusts, what it sends.

local native = ...
local utils = require ".utils"
local handlers = require ".handlers"

local ao = {
  _version = "weft-lua-1",
  _module = "",
  id = "",
  reference = 0,
  authorities = {},
  env = { Process = { Tags = {} }, Module = { Tags = {} } },
  outbox = { Output = {}, Messages = {}, Spawns = {}, Assignments = {} },
  -- Tags that do not become members of the message.
  nonExtractableTags = { "Data-Protocol", "Variant", "From-Process", "From-Module", "Type", "From", "Owner", "Anchor",
    "Target", "Data", "Tags", "Read-Only", "TagArray", "Id", "Signature", "Epoch", "Nonce", "Timestamp", "Block-Height",
    "Hash-Chain", "Cron", "Forwarded-By" },
  -- Members and tags that `forward` leaves behind.
  nonForwardableTags = { "Data-Protocol", "Variant", "From-Process", "From-Module", "Type", "From", "Owner", "Anchor",
    "Target", "Data", "Tags", "TagArray", "Hash-Chain", "Timestamp", "Nonce", "Epoch", "Signature", "Forwarded-By",
    "Pushed-For", "Read-Only", "Cron", "Block-Height", "Reference", "Id", "Reply-To" },
}

require(".assignment").init(ao)

-- Members of a message to be sent that are not tags, and the tags that only the process's own code sets.
local NO_TAGS = { Target = true, Data = true, Anchor = true, Tags = true, TagArray = true, From = true,
  ["Data-Protocol"] = true, Variant = true, Type = true, Reference = true, ["From-Process"] = true,
  ["From-Module"] = true, ["Data-Base64"] = true }

local function set_of(list)
  local set = {}
  for _, name in ipairs(list) do set[name] = true end
  return set
end

-- The same, made anew only when the list is another one or longer or shorter.
local extracted, extracted_from, extracted_length
local function not_extracted()
  local list = ao.nonExtractableTags
  if list ~= extracted_from or #list ~= extracted_length then
    extracted, extracted_from, extracted_length = set_of(list), list, #list
  end
  return extracted
end

local function tag_value(value)
  if math.type(value) == "float" and value == math.floor(value) and math.abs(value) < 2 ^ 53 then
    return tostring(math.tointeger(value))
  end
  return tostring(value)
end

-- The list of tags of `given`: `first`, then its members sorted by name, then its Tags.
local function tags_of(first, given, skip)
  local tags, count = first, #first
  local function put(name, value)
    local kind = type(value)
    if skip[name] or kind == "function" or kind == "nil" then return end
    if kind == "table" and not (getmetatable(value) or {}).__tostring then value = native.json_encode(value) end
    count = count + 1
    tags[count] = { name = tostring(name), value = kind == "string" and value or tag_value(value) }
  end
  for _, name in ipairs(utils.keys(given)) do
    if type(name) == "string" then put(name, given[name]) end
  end
  local more = given.Tags
  if more == nil then return tags end
  if more[1] ~= nil then
    for _, tag in ipairs(more) do put(tag.name, tag.value) end
  else
    for _, name in ipairs(utils.keys(more)) do put(name, more[name]) end
  end
  return tags
end

-- Puts data into an outgoing entry: tables become JSON; bytes that are no text travel in base64 beside their text.
local function put_data(entry, data)
  if data == nil then return end
  local text = type(data) == "string" and data or tostring(data)
  entry.Data = text
  if not native.is_utf8(text) then entry["Data-Base64"] = native.base64_encode(text, true) end
end

local function next_reference()
  ao.reference = ao.reference + 1
  return tostring(ao.reference)
end

-- What was sent, with the ways to wait for its answer.
local function sent(entry, pattern)
  local copy = { Target = entry.Target, Anchor = entry.Anchor, Tags = entry.Tags, Data = entry.Data, onReply = true,
    receive = true, ["Data-Base64"] = entry["Data-Base64"] }
  function copy.onReply(...)
    local from, handle = ...
    if select("#", ...) == 1 then from, handle = nil, ... end
    local spec = {}
    for name, value in pairs(pattern) do spec[name] = value end
    if from then spec.From = from end
    handlers.once(spec, handle)
  end
  function copy.receive(from)
    local spec = {}
    for name, value in pairs(pattern) do spec[name] = value end
    if from then spec.From = from end
    return handlers.receive(spec)
  end
  return copy
end

-- Sends a message: Target, Data, Tags (a table or a list), everything else becomes a tag.
function ao.send(message)
  assert(type(message) == "table", "a message has to be a table, such as { Target = …, Action = …, Data = … }")
  local reference = next_reference()
  local tags = {
    { name = "Data-Protocol", value = "ao" },
    { name = "Variant", value = "ao.TN.1" },
    { name = "Type", value = "Message" },
    { name = "Reference", value = reference },
  }
  local data = message.Data
  if type(data) == "table" then
    data = native.json_encode(data)
    if not message["Content-Type"] then tags[#tags + 1] = { name = "Content-Type", value = "application/json" } end
  end
  local entry = { Target = message.Target, Anchor = ("0"):rep(32 - #reference) .. reference, Tags = tags_of(tags, message, NO_TAGS) }
  put_data(entry, data)
  ao.outbox.Messages[#ao.outbox.Messages + 1] = entry
  return sent(entry, { From = message.Target, ["X-Reference"] = reference })
end

-- Asks the network for a new process: ao.spawn(module, { Data, Tags, … }) or ao.spawn({ … }) for one of the same module.
function ao.spawn(module, message)
  if type(module) == "table" and message == nil then module, message = ao._module, module end
  assert(type(module) == "string" and module ~= "", "spawn: the first argument has to be the id of a module")
  assert(message == nil or type(message) == "table", "spawn: the message has to be a table")
  message = message or {}
  local reference = next_reference()
  local tags = {
    { name = "Data-Protocol", value = "ao" },
    { name = "Variant", value = "ao.TN.1" },
    { name = "Type", value = "Process" },
    { name = "From-Process", value = ao.id },
    { name = "From-Module", value = ao._module },
    { name = "Module", value = module },
    { name = "Reference", value = reference },
  }
  local skip = setmetatable({ Module = true }, { __index = NO_TAGS })
  local entry = { Anchor = ("0"):rep(32 - #reference) .. reference, Tags = tags_of(tags, message, skip) }
  local data = message.Data
  if type(data) == "table" then data = native.json_encode(data) end
  put_data(entry, data == nil and "NODATA" or data)
  ao.outbox.Spawns[#ao.outbox.Spawns + 1] = entry
  return sent(entry, { Action = "Spawned", From = ao.id, Reference = reference })
end

-- Gives a message that exists to processes: { Processes = { … }, Message = id, BaseLayer = true?, Exclude = { … }? }
function ao.assign(assignment)
  assert(type(assignment) == "table", "an assignment has to be a table, such as { Processes = { … }, Message = … }")
  assert(type(assignment.Processes) == "table", "an assignment needs Processes, a list of process ids")
  assert(type(assignment.Message) == "string", "an assignment needs Message, the id of a message")
  ao.outbox.Assignments[#ao.outbox.Assignments + 1] = assignment
end

function ao.log(value)
  ao.outbox.Output[#ao.outbox.Output + 1] = value
  print(value)
end

function ao.clearOutbox()
  ao.outbox = { Output = {}, Messages = {}, Spawns = {}, Assignments = {} }
end

-- The answer to the host: what is in the outbox with `result`'s Output or Error.
function ao.result(result)
  result = result or {}
  if result.Error then return { Error = result.Error } end
  local outbox = ao.outbox
  return { Output = result.Output or outbox.Output, Messages = outbox.Messages, Spawns = outbox.Spawns, Assignments = outbox.Assignments }
end

function ao.isTrusted(message)
  for _, authority in ipairs(ao.authorities) do
    if message.From == authority or message.Owner == authority then return true end
  end
  return false
end

-- Makes tags members of the message, so that msg.Action is there. What the host said is never replaced by a tag.
function ao.normalize(message)
  local skip = not_extracted()
  for _, tag in ipairs(message.TagArray or message.Tags or {}) do
    if not skip[tag.name] and message[tag.name] == nil then message[tag.name] = tag.value end
  end
  return message
end

-- A copy without what `forward` leaves behind.
function ao.sanitize(message)
  local skip, copy = set_of(ao.nonForwardableTags), {}
  skip.Data = nil
  for name, value in pairs(message) do
    if not skip[name] then copy[name] = value end
  end
  return copy
end

function ao.clone(value, seen)
  if type(value) ~= "table" then return value end
  seen = seen or {}
  if seen[value] then return seen[value] end
  local copy = {}
  seen[value] = copy
  for key, item in pairs(value) do copy[ao.clone(key, seen)] = ao.clone(item, seen) end
  return setmetatable(copy, getmetatable(value))
end

-- Reads the environment: the process's id, its module, whom it trusts.
function ao.init(env)
  local process = env.Process or {}
  if ao.id == "" then
    ao.id = process.Id
    for _, tag in ipairs(process.Tags or {}) do
      if tag.name == "Module" then ao._module = tag.value end
      if tag.name == "Authority" then
        for address in tag.value:gmatch("[^,%s]+") do ao.authorities[#ao.authorities + 1] = address end
      end
    end
  end
  if ao._module == "" and env.Module then ao._module = env.Module.Id or "" end
  ao.outbox = { Output = {}, Messages = {}, Spawns = {}, Assignments = {} }
end

return ao
