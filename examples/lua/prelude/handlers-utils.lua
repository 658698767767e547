-- Patterns and handlers that most processes need.

local utils = require ".utils"
local parts = { _version = "weft" }

function parts.hasMatchingTag(name, value)
  assert(type(name) == "string" and type(value) == "string", "hasMatchingTag: name and value have to be strings")
  return function(message) return message.Tags[name] == value end
end

function parts.hasMatchingTagOf(name, values)
  assert(type(name) == "string" and type(values) == "table", "hasMatchingTagOf: the name has to be a string, the values a list")
  return function(message)
    for _, value in ipairs(values) do
      if message.Tags[name] == value then return true end
    end
    return false
  end
end

function parts.hasMatchingData(data)
  assert(type(data) == "string", "hasMatchingData: the data has to be a string")
  return function(message) return message.Data == data end
end

-- A handler that replies with a text, or with a table of Data and tags.
function parts.reply(input)
  assert(type(input) == "string" or type(input) == "table", "reply: give a string or a table")
  return function(message)
    message.reply(type(input) == "string" and { Data = input } or input)
  end
end

-- The same pattern, but the handlers after this one are asked too.
function parts.continue(pattern)
  return function(message)
    local answer = utils.matchesSpec(message, pattern)
    if not answer or answer == 0 or answer == "skip" then return answer end
    return 1
  end
end

return parts
