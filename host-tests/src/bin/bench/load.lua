-- For wrk: sends the requests named after `--` ("GET /path") one after another, round and round, and prints what came of
-- it as one line of JSON. A POST carries an empty JSON object.
local requests, at = {}, 0

function init(arguments)
  for _, line in ipairs(arguments) do
    local method, path = line:match("^(%S+) (%S+)$")
    requests[#requests + 1] = wrk.format(method, path, nil, method == "POST" and "{}" or nil)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"failed":%d,"refused":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, errors.connect + errors.read + errors.write + errors.timeout, errors.status,
    latency:percentile(50), latency:percentile(99)))
end
