-- Files: only those that the message's log entry carries (/data/…, /tx/…, /block/…), and only for reading.

local native = ...

local File = {}
File.__index = File

local function number_at(content, at)
  local from, to = content:find("^%s*[%+%-]?[%w%.]+", at)
  if not from then return nil, at end
  return tonumber(content:sub(from, to)), to + 1
end

local function read_one(file, format)
  if math.type(format) == "integer" then
    if file.at > #file.content then return format == 0 and "" or nil end
    local piece = file.content:sub(file.at, file.at + format - 1)
    file.at = file.at + #piece
    return piece
  end
  local what = tostring(format):gsub("^%*", ""):sub(1, 1)
  if what == "a" then
    local rest = file.content:sub(file.at)
    file.at = #file.content + 1
    return rest
  elseif what == "n" then
    local value
    value, file.at = number_at(file.content, file.at)
    return value
  elseif what == "l" or what == "L" then
    if file.at > #file.content then return nil end
    local stop = file.content:find("\n", file.at, true) or #file.content + 1
    local line = file.content:sub(file.at, what == "L" and stop or stop - 1)
    file.at = stop + 1
    return line
  end
  error("bad argument to 'read' (invalid format)", 3)
end

function File:read(...)
  if select("#", ...) == 0 then return read_one(self, "l") end
  local values = table.pack(...)
  for index = 1, values.n do values[index] = read_one(self, values[index]) end
  return table.unpack(values, 1, values.n)
end

function File:lines(format)
  return function() return read_one(self, format or "l") end
end

-- As WeaveDrive's users expect: seek("end") says the size and goes on reading from the beginning.
function File:seek(whence, offset)
  local size, base = #self.content, { set = 0, cur = self.at - 1, ["end"] = #self.content }
  local position = (base[whence or "cur"] or 0) + (offset or 0)
  if position < 0 then return nil, "Invalid argument", 22 end
  if whence == "end" and (offset or 0) == 0 then
    self.at = 1
    return size
  end
  self.at = position + 1
  return position
end

function File:close() return true end
function File:flush() return self end
function File:setvbuf() return true end
function File:write() return nil, "Read-only file system", 30 end

local io = {}

function io.open(path, mode)
  if mode and not mode:find("^r") then return nil, path .. ": Read-only file system", 30 end
  local content = native.read_file(path)
  if not content then return nil, path .. ": No such file or directory", 2 end
  return setmetatable({ content = content, at = 1 }, File)
end

function io.type(value) return getmetatable(value) == File and "file" or nil end
function io.lines(path, format)
  local file, problem = io.open(path)
  if not file then error(problem, 2) end
  return file:lines(format)
end
-- There is no standard input or output; print shows.
function io.read() return nil end
function io.write() return io end

return io
