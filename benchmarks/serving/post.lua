-- wrk's script: post the file that is named behind "--", again and again.
function init(arguments)
  wrk.method = "POST"
  local file = assert(io.open(arguments[1], "rb"))
  wrk.body = file:read("*a")
  file:close()
end
