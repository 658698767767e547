-- `require ".crypto"`: SHA-256 and HMAC over it, hexadecimal, and the random numbers of `.chance`.

local native = ...
local crypto = { _version = "weft" }

local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

-- A text, a stream of `utils.stream`, or a list of bytes as a text.
local function bytes_of(input)
  if type(input) == "string" then return input end
  if type(input) == "function" then
    local out = {}
    for byte in input do out[#out + 1] = string.char(byte) end
    return table.concat(out)
  end
  if type(input) == "table" then return crypto.utils.array.toString(input) end
  error("expected a string, a stream or a list of bytes, got " .. type(input), 3)
end

local function digest(bytes)
  return {
    asBytes = function() return { bytes:byte(1, -1) } end,
    asString = function() return bytes end,
    asHex = function() return hex(bytes) end,
  }
end

crypto.utils = {
  hex = {
    stringToHex = hex,
    hexToString = function(text) return (text:gsub("%x%x", function(two) return string.char(tonumber(two, 16)) end)) end,
  },
  array = {
    fromString = function(text) return { text:byte(1, -1) } end,
    toString = function(list)
      local out = {}
      for index, byte in ipairs(list) do out[index] = string.char(byte) end
      return table.concat(out)
    end,
    toHex = function(list) return hex(crypto.utils.array.toString(list)) end,
    fromHex = function(text) return { crypto.utils.hex.hexToString(text):byte(1, -1) } end,
  },
  stream = {
    fromString = function(text)
      local at = 0
      return function()
        at = at + 1
        return text:byte(at)
      end
    end,
    fromArray = function(list)
      local at = 0
      return function()
        at = at + 1
        return list[at]
      end
    end,
    toString = bytes_of,
    fromHex = function(text) return crypto.utils.stream.fromString(crypto.utils.hex.hexToString(text)) end,
  },
}
crypto.utils.hex.fromString, crypto.utils.hex.toString = crypto.utils.hex.stringToHex, crypto.utils.hex.hexToString

crypto.digest = { sha2_256 = function(input) return digest(native.sha256(bytes_of(input))) end }
crypto.digest.SHA2_256 = crypto.digest.sha2_256

local BLOCK = 64
local function hmac(data, key)
  if #key > BLOCK then key = native.sha256(key) end
  key = key .. ("\0"):rep(BLOCK - #key)
  local function pad(byte) return (key:gsub(".", function(c) return string.char(c:byte() ~ byte) end)) end
  return native.sha256(pad(0x5c) .. native.sha256(pad(0x36) .. data))
end

crypto.mac = { createHmac = function(data, key) return digest(hmac(bytes_of(data), bytes_of(key))) end }

-- random(least, most): as math.random, the same on every node.
crypto.random = function(...) return math.random(...) end

return crypto
