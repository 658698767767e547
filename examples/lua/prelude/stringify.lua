-- `require ".stringify"`: the same text as `.pretty`, under the names that processes use.

local utils, pretty = require ".utils", require ".pretty"
return {
  _version = "weft",
  format = function(value, indent) return pretty.tprint(value, indent) end,
  isSimpleArray = function(value) return utils.isList(value) and #utils.filter(function(v) return type(v) == "table" end, value) == 0 end,
}
