-- What Envoy's own Lua filter takes for the same count: requests by method, resource and code. (The filter also keeps
-- latencies; this does not.) `/count` answers with the sum, so that it can be checked.
local counts = {}

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path")
  if path == "/count" then
    local sum = 0
    for _, count in pairs(counts) do sum = sum + count end
    handle:respond({[":status"] = "200"}, tostring(sum))
    return
  end
  local collection, action = path:match("^/api/v2/([%w_]+)/%d+/(%w+)/")
  if not collection then
    collection = path:match("^/api/v2/([%w_]+)/") or "other"
  end
  local resource = action and collection .. "/" .. action or collection
  handle:streamInfo():dynamicMetadata():set("count", "key", headers:get(":method") .. " " .. resource)
end

function envoy_on_response(handle)
  local request = handle:streamInfo():dynamicMetadata():get("count")
  if request then
    local key = request["key"] .. " " .. handle:headers():get(":status")
    counts[key] = (counts[key] or 0) + 1
  end
end
