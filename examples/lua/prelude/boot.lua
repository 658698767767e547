-- The first chunk of the prelude: `require`, the modules, the globals. Returns the function that handles a message.
-- It gets what C provides (native.c) and the other chunks of the prelude by name.

local native, chunks = ...

package = { loaded = native.loaded, preload = {}, path = "", cpath = "", config = "/\n;\n?\n!\n-\n" }
package.searchers = { function(name) return package.preload[name] or "\n\tno field package.preload['" .. name .. "']" end }
function package.searchpath(name) return nil, "\n\tno file '" .. name .. "'" end
package.loaded.package = package

function require(name)
  local loaded = package.loaded
  if loaded[name] ~= nil then return loaded[name] end
  local tried = {}
  for _, search in ipairs(package.searchers) do
    local loader, extra = search(name)
    if type(loader) == "function" then
      local value = loader(name, extra)
      if value ~= nil then loaded[name] = value end
      if loaded[name] == nil then loaded[name] = true end
      return loaded[name]
    elseif type(loader) == "string" then
      tried[#tried + 1] = loader
    end
  end
  error("module '" .. name .. "' not found:" .. table.concat(tried), 2)
end

package.preload.json = function()
  return { _version = "weft", decode = native.json_decode, encode = native.json_encode }
end
package.preload[".bint"] = function() return native.bint end
package.preload[".base64"] = function()
  return {
    encode = function(text) return native.base64_encode(text, false) end,
    decode = native.base64_decode,
    encode_url = function(text) return native.base64_encode(text, true) end,
  }
end
for _, name in ipairs { "utils", "pretty", "stringify", "handlers-utils", "handlers", "assignment", "ao", "crypto",
  "chance", "eval", "io", "process" } do
  package.preload["." .. name] = function() return chunks[name](native) end
end

-- AO's tools know some modules by a second name.
package.preload.ao = function() return require ".ao" end
package.preload[".crypto.init"] = function() return require ".crypto" end
package.preload[".crypto.digest.init"] = function() return require(".crypto").digest end
package.preload[".crypto.digest.sha2_256"] = function() return require(".crypto").digest end

io = require ".io"
package.loaded.io = io
Colors = { red = "\27[31m", green = "\27[32m", blue = "\27[34m", gray = "\27[90m", reset = "\27[0m" }

return require(".process").handle
